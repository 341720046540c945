"""CutPaste (arXiv:2104.04015): a network learns to recognise images with a patch or a scar pasted in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.cutpaste_augmentation import cut_paste, cut_paste_scar, random_int
from baselines.feature_extraction import resnet_features
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import Method
from baselines.training_loop import CHECKPOINT_FILE, BatchSchedule, Stateful, optimiser_step, run_training, seeded_rng
from scoring.paper import smooth_map
from utils.views import Views
from utils.weights import Weights

CROP, PATCH = 64, 32  # sizes of training crops and of test patches, pixels, of images of 256
PATCHES_AT_ONCE = 256  # batch size of embedding
CLASS_COUNT = 3  # normal, CutPaste, CutPaste-Scar


@dataclass(frozen=True)
class CutPasteConfig:
    """CutPaste's hyperparameters; the defaults are those of the paper's 3-way variant."""

    size: int = 256  # image size before anything is pasted, pixels
    density: Literal["gaussian", "kernel"] = "gaussian"  # of normal features: Ledoit-Wolf, or kernels on embeddings
    steps: int = 10000  # training steps of each of the two networks
    batch_size: int = 32  # normal images; each is augmented to all three classes
    rate: float = 0.03  # initial learning rate of SGD, with cosine decay to 0
    momentum: float = 0.9  # of SGD
    weight_decay: float = 3e-5  # of SGD
    stride: int = 4  # between test patches, pixels
    sigma: float = 10.0  # smoothing of the map, pixels
    bandwidth: float = 1.0  # of the kernels
    samples: int = 64  # normal patches per image to which the patches' density is fitted


class CutPaste(Method[CutPasteConfig]):
    """Two networks: one on whole images gives the score, one on patches the map."""

    name = "CutPaste"
    config_type = CutPasteConfig
    fast_config = CutPasteConfig(size=128, steps=60, batch_size=8, stride=8)
    weights = ("resnet18",)

    def fit(self, views: Views) -> None:
        """Train both networks, and fit a density to the embeddings of normal images of each."""
        images = resize_views(views, self.config.size)
        self.whole = self.train_classifier("whole", images, lambda image, _: image)
        self.local = self.train_classifier("patches", images, random_crop)
        self.whole_density = self.fit_density(self.embed(self.whole, images))
        rng = torch.Generator().manual_seed(self.context.seed)
        patches = torch.cat([random_patches(image, PATCH, self.config.samples, rng) for image in images])
        self.local_density = self.fit_density(self.embed(self.local, patches))

    def train_classifier(
        self, name: str, images: Tensor, view: Callable[[Tensor, torch.Generator], Tensor]
    ) -> Classifier:
        """Train a network on views of the images."""
        config, device = self.config, self.context.device
        network = self.new_network(name).train()
        optimiser = torch.optim.SGD(
            network.parameters(), lr=config.rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, config.steps))

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            rng = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            normal = [view(images[row], rng) for row in rows.tolist()]
            batch = [*normal, *(cut_paste(one, rng) for one in normal), *(cut_paste_scar(one, rng) for one in normal)]
            labels = torch.arange(CLASS_COUNT, device=device).repeat_interleave(len(normal))
            logits = network(normalise_images(torch.stack(batch)).to(device))
            loss = functional.cross_entropy(logits, labels)
            optimiser_step(optimiser, loss)
            scheduler.step()
            return {"loss": loss.detach(), "accuracy": (logits.argmax(1) == labels).float().mean()}

        parts: dict[str, Stateful] = {"network": network, "optimiser": optimiser, "scheduler": scheduler}
        schedule = BatchSchedule(len(images), config.batch_size, config.steps)
        title, file_name = f"CutPaste, {name}", f"{name}-{CHECKPOINT_FILE}"
        run_training(title, schedule, take_step, parts, self.context, file_name=file_name)
        return network.eval()

    def new_network(self, name: str) -> Classifier:
        """Build an untrained network on a pretrained backbone."""
        with seeded_rng(self.context.seed, f"CutPaste {name}"):
            return Classifier(self.context.weights).to(self.context.device)

    @torch.no_grad()
    def embed(self, network: Classifier, images: Tensor) -> Tensor:
        """Return unit vectors for the density: features (N, channels) or embeddings (N, 128), on the CPU."""
        parts = []
        for batch in images.split(PATCHES_AT_ONCE):
            features = network.features(normalise_images(batch.to(self.context.device)))
            values = features if self.config.density == "gaussian" else network.head(features)
            parts.append(functional.normalize(values, dim=1).cpu())
        return torch.cat(parts)

    def fit_density(self, values: Tensor) -> dict[str, Tensor]:
        """Fit the density of normal images to their embeddings (N, dimensions)."""
        return {"points": values} if self.config.density == "kernel" else fit_gaussian(values)

    def distance(self, values: Tensor, density: dict[str, Tensor]) -> Tensor:
        """Return the distance (N,) of embeddings (N, dimensions) from the normal ones."""
        if self.config.density == "kernel":
            return kernel_distance(values, density["points"], self.config.bandwidth)
        return mahalanobis_distance(values, density)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the smoothed map of the patches' distances, and the distance of the whole image."""
        config = self.config
        square = resize_to_square(image, config.size)
        score = float(self.distance(self.embed(self.whole, square), self.whole_density))
        patches = sliding_patches(square[0], PATCH, config.stride)
        side = (config.size - PATCH) // config.stride + 1
        distances = self.distance(self.embed(self.local, patches), self.local_density).reshape(1, 1, side, side)
        first, inner_size = PATCH // 2, config.stride * (side - 1) + 1
        inner = functional.interpolate(
            distances.float(), size=(inner_size, inner_size), mode="bilinear", align_corners=True
        )
        last = config.size - inner_size - first
        padded = functional.pad(inner, (first, last, first, last), mode="replicate")[0, 0]
        return resize_map(smooth_map(padded, config.sigma), image), score

    def tensors(self) -> dict[str, Tensor]:
        """Return networks and densities."""
        parts = {"whole": self.whole.state_dict(), "local": self.local.state_dict()}
        parts |= {"whole_density": self.whole_density, "local_density": self.local_density}
        return {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore networks and densities."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = value
        self.whole, self.local = self.new_network("whole").eval(), self.new_network("patches").eval()
        self.whole.load_state_dict(parts["whole"])
        self.local.load_state_dict(parts["local"])
        self.whole_density = {name: value.cpu() for name, value in parts["whole_density"].items()}
        self.local_density = {name: value.cpu() for name, value in parts["local_density"].items()}


class Classifier(nn.Module):
    """ResNet-18 or what stands in for it, eight hidden layers, an embedding, and three classes."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.backbone = resnet_features("resnet18", (4,), weights)
        self.backbone.requires_grad_(True)
        (width,) = self.backbone.channels
        hidden = [
            layer for _ in range(8) for layer in (nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        ]
        self.head = nn.Sequential(*hidden, nn.Linear(width, 128))
        self.out = nn.Linear(128, CLASS_COUNT)

    def features(self, images: Tensor) -> Tensor:
        """Return features (N, channels) of normalised images (N, 3, height, width)."""
        return self.backbone(images)[0].mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 3) of normalised images (N, 3, height, width)."""
        return self.out(self.head(self.features(images)))


def random_crop(image: Tensor, rng: torch.Generator) -> Tensor:
    """Crop a square of 64 pixels, or less of a smaller image, at a random place: (3, side, side)."""
    side = min(CROP, *image.shape[1:])
    row, column = random_int(image.shape[1] - side, rng), random_int(image.shape[2] - side, rng)
    return image[:, row : row + side, column : column + side]


def sliding_patches(image: Tensor, side: int, stride: int) -> Tensor:
    """Return the square patches of an image (3, height, width), row by row: (patches, 3, side, side)."""
    patches = image.unfold(1, side, stride).unfold(2, side, stride)  # (3, rows, columns, side, side)
    return patches.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side)


def random_patches(image: Tensor, side: int, count: int, rng: torch.Generator) -> Tensor:
    """Draw square patches of an image (3, height, width), with repetition: (count, 3, side, side)."""
    patches = image.unfold(1, side, 1).unfold(2, side, 1)  # (3, rows, columns, side, side)
    rows, columns = patches.shape[1:3]
    chosen = torch.randint(rows * columns, (count,), generator=rng)
    return patches[:, chosen // columns, chosen % columns].permute(1, 0, 2, 3).contiguous()


def fit_gaussian(values: Tensor) -> dict[str, Tensor]:
    """Return the mean and the inverse of the Ledoit-Wolf covariance of (N, dimensions)."""
    from sklearn.covariance import LedoitWolf  # noqa: PLC0415  seconds, which listing the methods does not need

    fitted = LedoitWolf().fit(values.double().numpy())
    return {
        "mean": torch.as_tensor(fitted.location_),
        "precision": torch.as_tensor(fitted.precision_).contiguous(),
    }


def mahalanobis_distance(values: Tensor, density: dict[str, Tensor]) -> Tensor:
    """Return √((v − μ)ᵀ Σ⁻¹ (v − μ)) of each row of (N, dimensions): (N,) float64."""
    offsets = values.double() - density["mean"]
    return ((offsets @ density["precision"]) * offsets).sum(1).clamp(min=0).sqrt()


def kernel_distance(values: Tensor, points: Tensor, bandwidth: float) -> Tensor:
    """Return −log of the mean Gaussian kernel between each row of (N, dimensions) and the normal points: (N,)."""
    exponents = -torch.cdist(values.double(), points.double()).square() / (2 * bandwidth**2)
    return math.log(len(points)) - torch.logsumexp(exponents, dim=1)
