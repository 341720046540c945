"""OCR-GAN (arXiv:2203.00259): two generators reconstruct an image's low and high frequencies and exchange channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from baselines.cutpaste_augmentation import cut_paste, erase_patch
from baselines.ocr_gan_networks import Discriminator, FrequencyGenerator, frequency_bands
from baselines.preprocessing import resize_map, resize_to_square, resize_views
from baselines.protocol import Method
from baselines.training_loop import BatchSchedule, Stateful, optimiser_step, run_training, seeded_rng
from utils.errors import InputError
from utils.views import Views


@dataclass(frozen=True)
class OCRGANConfig:
    """OCR-GAN's hyperparameters; the defaults are the paper's."""

    size: int = 256  # image size, pixels: 64, 128 or 256
    width: int = 64  # channels of the first layer of each network
    epochs: int = 200
    batch_size: int = 32  # at most
    rate: float = 2e-4  # learning rate of Adam
    beta1: float = 0.5  # of Adam
    weight_picture: float = 50.0  # weight of the reconstruction loss, relative to the adversarial loss
    score_picture: float = 0.9  # weight of the reconstruction error in the score; the rest is the features'

    def __post_init__(self) -> None:
        if self.size not in (64, 128, 256):
            raise InputError(f"OCR-GAN.size must be 64, 128 or 256, found {self.size}.")


class OCRGAN(Method[OCRGANConfig]):
    """An image is anomalous where it is not reconstructed."""

    name = "OCR-GAN"
    config_type = OCRGANConfig
    fast_config = OCRGANConfig(size=64, width=32, epochs=12, batch_size=8)

    def fit(self, views: Views) -> None:
        """Train generator and discriminator against each other, to the last epoch."""
        config, device = self.config, self.context.device
        images = 2 * resize_views(views, config.size) - 1  # [-1, 1]
        generator, discriminator = self.new_networks()
        optimisers = [
            torch.optim.Adam(network.parameters(), lr=config.rate, betas=(config.beta1, 0.999))
            for network in (generator, discriminator)
        ]

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            real = images[rows].to(device)
            augmented = augment_images(images[rows], int(torch.randint(2**31, ()))).to(device)
            restored = generator(*frequency_bands(augmented))
            loss_d = discriminator_loss(discriminator, real, restored.detach(), augmented)
            optimiser_step(optimisers[1], loss_d)
            discriminator.requires_grad_(False)
            loss_g = generator_loss(discriminator, real, restored, config)
            optimiser_step(optimisers[0], loss_g)
            discriminator.requires_grad_(True)
            return {"G": loss_g.detach(), "D": loss_d.detach()}

        schedule = BatchSchedule.of_epochs(len(images), min(config.batch_size, len(images)), config.epochs)
        parts: dict[str, Stateful] = {"generator": generator, "discriminator": discriminator}
        parts |= {"optimiser of G": optimisers[0], "optimiser of D": optimisers[1]}
        run_training(self.name, schedule, take_step, parts, self.context)
        self.generator, self.discriminator = generator.eval(), discriminator.eval()

    def new_networks(self) -> tuple[FrequencyGenerator, Discriminator]:
        """Build the untrained networks."""
        size, width, device = self.config.size, self.config.width, self.context.device
        with seeded_rng(self.context.seed, self.name):
            return FrequencyGenerator(size, width).to(device), Discriminator(size, width).to(device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the reconstruction error, and its mean combined with the features' error."""
        weight = self.config.score_picture
        square = 2 * resize_to_square(image.to(self.context.device), self.config.size) - 1
        restored = self.generator(*frequency_bands(square))
        error = (restored - square).square().mean(1)[0]
        (_, one), (_, other) = self.discriminator(square), self.discriminator(restored)
        score = weight * error.mean() + (1 - weight) * (one - other).square().mean()
        return resize_map(error, image), float(score)

    def tensors(self) -> dict[str, Tensor]:
        """Return both networks' parameters and buffers."""
        parts = {"generator": self.generator, "discriminator": self.discriminator}
        return {f"{part}/{name}": value for part, one in parts.items() for name, value in one.state_dict().items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore both networks."""
        self.generator, self.discriminator = self.new_networks()
        for part, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            prefix = f"{part}/"
            network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
            network.eval()


def augment_images(images: Tensor, seed: int) -> Tensor:
    """Paste a rectangle elsewhere into images (N, 3, size, size) in [-1, 1], and erase another one."""
    rng = torch.Generator().manual_seed(seed)
    return torch.stack([2 * erase_patch(cut_paste((one + 1) / 2, rng), rng) - 1 for one in images])


def discriminator_loss(discriminator: Discriminator, real: Tensor, restored: Tensor, augmented: Tensor) -> Tensor:
    """Return the cross-entropy with target 1 for real images, 0 for restored and augmented ones."""
    targets = ((real, 1.0), (restored, 0.0), (augmented, 0.0))
    verdicts = [(discriminator(images)[0], target) for images, target in targets]
    losses = [
        functional.binary_cross_entropy(verdict, torch.full_like(verdict, target)) for verdict, target in verdicts
    ]
    return torch.stack(losses).sum()


def generator_loss(discriminator: Discriminator, real: Tensor, restored: Tensor, config: OCRGANConfig) -> Tensor:
    """Return the adversarial, the weighted reconstruction and the feature loss."""
    verdict, features = discriminator(restored)
    target = discriminator(real)[1].detach()
    adversarial = functional.binary_cross_entropy(verdict, torch.ones_like(verdict))
    reconstruction = functional.l1_loss(restored, real)
    return adversarial + config.weight_picture * reconstruction + functional.mse_loss(features, target)
