"""OCR-GAN (arXiv:2203.00259): a picture's low and high frequencies are restored apart, by networks that exchange."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from baselines.cutpaste_augmentation import cut_out, cut_paste
from baselines.ocr_gan_networks import Discriminator, Generator, bands
from baselines.pictures import scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import Schedule, seeded, train
from utils.errors import InputError
from utils.views import Views


@dataclass(frozen=True)
class OCRGANConfig:
    """OCR-GAN's settings, by default the paper's."""

    size: int = 256  # pixels of a side to which pictures are scaled: 64, 128 or 256
    width: int = 64  # channels of the first layer of each network
    epochs: int = 200  # times that each picture is seen
    batch_size: int = 32  # pictures in a step, at most
    rate: float = 2e-4  # step size of Adam
    beta1: float = 0.5  # of Adam
    weight_picture: float = 50.0  # of the restored picture's difference, against 1 for the discriminator's verdict
    score_picture: float = 0.9  # share of the picture's difference in the score; the rest is the features'

    def __post_init__(self) -> None:
        if self.size not in (64, 128, 256):
            raise InputError(f"OCR-GAN.size must be 64, 128 or 256, found {self.size}.")


class OCRGAN(Method[OCRGANConfig]):
    """What cannot be restored is anomalous."""

    Config = OCRGANConfig
    FAST = OCRGANConfig(size=64, width=32, epochs=12, batch_size=8)

    def fit(self, views: Views) -> None:
        """Train generator and discriminator against each other, to the last epoch."""
        config, device = self.config, self.context.device
        pictures = 2 * squared_views(views, config.size) - 1  # [-1, 1]
        generator, discriminator = self.new_networks()
        optimisers = [
            torch.optim.Adam(network.parameters(), lr=config.rate, betas=(config.beta1, 0.999))
            for network in (generator, discriminator)
        ]

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            real = pictures[rows].to(device)
            painted = augmented(pictures[rows], int(torch.randint(2**31, ()))).to(device)
            restored = generator(*bands(painted))
            first = discriminator_loss(discriminator, real, restored.detach(), painted)
            step(optimisers[1], first)
            discriminator.requires_grad_(False)
            second = generator_loss(discriminator, real, restored, config)
            step(optimisers[0], second)
            discriminator.requires_grad_(True)
            return {"G": second.detach(), "D": first.detach()}

        schedule = Schedule.of_epochs(len(pictures), min(config.batch_size, len(pictures)), config.epochs)
        parts = {"generator": generator, "discriminator": discriminator}
        parts |= {"optimiser of G": optimisers[0], "optimiser of D": optimisers[1]}  # type: ignore[dict-item]
        train("OCR-GAN", schedule, take_step, parts, self.context)
        self.generator, self.discriminator = generator.eval(), discriminator.eval()

    def new_networks(self) -> tuple[Generator, Discriminator]:
        """Networks that have learned nothing."""
        config, device = self.config, self.context.device
        with seeded(self.context.seed, "OCR-GAN"):
            return Generator(config.size, config.width).to(device), Discriminator(config.size, config.width).to(device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The squared difference of picture and restored picture, and its mean together with the features'."""
        share = self.config.score_picture
        picture = 2 * squared(image.to(self.context.device), self.config.size) - 1
        restored = self.generator(*bands(picture))
        difference = (restored - picture).square().mean(1)[0]
        (_, one), (_, other) = self.discriminator(picture), self.discriminator(restored)
        score = share * difference.mean() + (1 - share) * (one - other).square().mean()
        return scaled_map(difference, image), float(score)

    def tensors(self) -> dict[str, Tensor]:
        """Both networks."""
        parts = {"generator": self.generator, "discriminator": self.discriminator}
        return {f"{part}/{name}": value for part, one in parts.items() for name, value in one.state_dict().items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over both networks."""
        self.generator, self.discriminator = self.new_networks()
        for part, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            own = {name: value for name, value in tensors.items() if name.startswith(f"{part}/")}
            network.load_state_dict({name.partition("/")[2]: value for name, value in own.items()})
            network.eval()


def augmented(pictures: Tensor, seed: int) -> Tensor:
    """Pictures (N, 3, size, size) in [-1, 1] with a rectangle pasted elsewhere, and another one blotted out."""
    random = torch.Generator().manual_seed(seed)
    return torch.stack([2 * cut_out(cut_paste((one + 1) / 2, random), random) - 1 for one in pictures])


def step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimiser."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def discriminator_loss(discriminator: Discriminator, real: Tensor, restored: Tensor, painted: Tensor) -> Tensor:
    """Real pictures are to be 1, restored ones and those with something pasted in 0."""
    verdicts = [discriminator(pictures)[0] for pictures in (real, restored, painted)]
    targets = (1.0, 0.0, 0.0)
    losses = [
        functional.binary_cross_entropy(verdict, torch.full_like(verdict, target))
        for verdict, target in zip(verdicts, targets)
    ]
    return torch.stack(losses).sum()


def generator_loss(discriminator: Discriminator, real: Tensor, restored: Tensor, config: OCRGANConfig) -> Tensor:
    """Restored pictures are to pass for real, to be like them, and to have their features."""
    verdict, features = discriminator(restored)
    wanted = discriminator(real)[1].detach()
    fooled = functional.binary_cross_entropy(verdict, torch.ones_like(verdict))
    alike = functional.l1_loss(restored, real)
    return fooled + config.weight_picture * alike + functional.mse_loss(features, wanted)
