"""CutPaste (arXiv:2104.04015): a network that tells normal pictures from those with a patch or a scar pasted in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.cutpaste_augmentation import below, cut_paste, scar
from baselines.features import ResNetLayers
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import UNFINISHED, Schedule, Stateful, seeded, train
from scoring.paper import smooth_map
from utils.views import Views

CROP, PATCH = 64, 32  # pixels of a side: crops to train on, patches to test, of pictures of 256
AT_ONCE = 256  # patches seen at once
CLASSES = 3  # normal, CutPaste, scar


@dataclass(frozen=True)
class CutPasteConfig:
    """CutPaste's settings, by default the paper's 3-way variant."""

    size: int = 256  # pixels of a side to which pictures are scaled before anything is pasted
    density: Literal["gaussian", "kernel"] = "gaussian"  # of normal features: Ledoit-Wolf, or kernels on embeddings
    steps: int = 10000  # training steps of each of the two networks
    batch_size: int = 32  # normal pictures in a step; each comes in all three classes
    rate: float = 0.03  # step size of SGD at the start; it falls to 0 along a cosine
    momentum: float = 0.9  # of SGD
    weight_decay: float = 3e-5  # of SGD
    stride: int = 4  # pixels from one tested patch to the next
    sigma: float = 10.0  # pixels by which the map is smoothed
    bandwidth: float = 1.0  # of the kernels
    samples: int = 64  # normal patches a picture to which the patches' density is fitted


class CutPaste(Method[CutPasteConfig]):
    """Two networks: one for whole pictures gives the score, one for patches the map."""

    Config = CutPasteConfig
    FAST = CutPasteConfig(size=128, steps=60, batch_size=8, stride=8)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("resnet18",)

    def fit(self, views: Views) -> None:
        """Train both networks, and fit a Gaussian to what each sees in normal pictures."""
        pictures = squared_views(views, self.config.size)
        self.whole = self.trained("whole", pictures, lambda picture, random: picture)
        self.local = self.trained("patches", pictures, crop)
        self.whole_density = self.density_of(self.seen(self.whole, pictures))
        random = torch.Generator().manual_seed(self.context.seed)
        patches = torch.cat([windows(picture, PATCH, 1, self.config.samples, random) for picture in pictures])
        self.local_density = self.density_of(self.seen(self.local, patches))

    def trained(self, name: str, pictures: Tensor, view: Callable[[Tensor, torch.Generator], Tensor]) -> Classifier:
        """A network trained on views of the pictures."""
        config, device = self.config, self.context.device
        network = self.new_network(name).train()
        optimiser = torch.optim.SGD(
            network.parameters(), lr=config.rate, momentum=config.momentum, weight_decay=config.weight_decay
        )
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, config.steps))

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            random = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
            normal = [view(pictures[row], random) for row in rows.tolist()]
            batch = [*normal, *(cut_paste(one, random) for one in normal), *(scar(one, random) for one in normal)]
            labels = torch.arange(CLASSES, device=device).repeat_interleave(len(normal))
            logits = network(normalised(torch.stack(batch)).to(device))
            loss = functional.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            falling.step()
            return {"loss": loss.detach(), "accuracy": (logits.argmax(1) == labels).float().mean()}

        parts: dict[str, Stateful] = {"network": network, "optimiser": optimiser, "falling": falling}
        schedule = Schedule(len(pictures), config.batch_size, config.steps)
        train(f"CutPaste, {name}", schedule, take_step, parts, self.context, file_name=f"{name}-{UNFINISHED}")
        return network.eval()

    def new_network(self, name: str) -> Classifier:
        """A network that has learned nothing but its backbone's pretraining."""
        with seeded(self.context.seed, f"CutPaste {name}"):
            return Classifier(self.context.weights).to(self.context.device)

    @torch.no_grad()
    def seen(self, network: Classifier, pictures: Tensor) -> Tensor:
        """What the density is taken of: features of unit length (N, 512), or embeddings (N, 128), on the CPU."""
        parts = []
        for some in pictures.split(AT_ONCE):
            features = network.features(normalised(some.to(self.context.device)))
            values = features if self.config.density == "gaussian" else network.head(features)
            parts.append(functional.normalize(values, dim=1).cpu())
        return torch.cat(parts)

    def density_of(self, values: Tensor) -> dict[str, Tensor]:
        """The density of normal pictures."""
        if self.config.density == "kernel":
            return {"points": values}
        return gaussian(values)

    def distance(self, values: Tensor, density: dict[str, Tensor]) -> Tensor:
        """How unlikely each row of ``values`` is: (N,)."""
        if self.config.density == "kernel":
            return kernel_distance(values, density["points"], self.config.bandwidth)
        return mahalanobis(values, density)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The smoothed map of the patches' distances, and the distance of the whole picture."""
        config = self.config
        picture = squared(image, config.size)
        score = float(self.distance(self.seen(self.whole, picture), self.whole_density))
        patches = windows(picture[0], PATCH, config.stride)
        side = (config.size - PATCH) // config.stride + 1
        distances = self.distance(self.seen(self.local, patches), self.local_density).reshape(side, side)
        large = torch.zeros(config.size, config.size)
        first, reach = PATCH // 2, config.stride * (side - 1) + 1
        inner = functional.interpolate(
            distances[None, None].float(), size=(reach, reach), mode="bilinear", align_corners=True
        )
        around = config.size - reach - first
        large = functional.pad(inner, (first, around, first, around), mode="replicate")[0, 0]
        return scaled_map(smooth_map(large, config.sigma), image), score

    def tensors(self) -> dict[str, Tensor]:
        """Networks and densities."""
        parts = {"whole": self.whole.state_dict(), "local": self.local.state_dict()}
        parts |= {"whole_density": self.whole_density, "local_density": self.local_density}
        return {f"{part}/{name}": value for part, values in parts.items() for name, value in values.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over networks and densities."""
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
    """ResNet-18, eight hidden layers and an embedding, and three classes."""

    def __init__(self, weights: object) -> None:
        super().__init__()
        self.backbone = ResNetLayers("resnet18", (4,), weights)  # type: ignore[arg-type]
        self.backbone.requires_grad_(True)
        hidden = [
            layer for _ in range(8) for layer in (nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU())
        ]
        self.head = nn.Sequential(*hidden, nn.Linear(512, 128))
        self.out = nn.Linear(128, CLASSES)

    def features(self, pictures: Tensor) -> Tensor:
        """(N, 3, height, width), normalised → (N, 512)."""
        return self.backbone(pictures)[0].mean((2, 3))

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, height, width), normalised → logits (N, 3)."""
        return self.out(self.head(self.features(pictures)))


def crop(picture: Tensor, random: torch.Generator) -> Tensor:
    """A square of 64 pixels, or the whole of a smaller picture, from anywhere: (3, side, side)."""
    side = min(CROP, *picture.shape[1:])
    row, column = below(picture.shape[1] - side, random), below(picture.shape[2] - side, random)
    return picture[:, row : row + side, column : column + side]


def windows(
    picture: Tensor, side: int, stride: int, count: int | None = None, random: torch.Generator | None = None
) -> Tensor:
    """Squares of a picture (3, height, width), row by row, or ``count`` of them drawn: (windows, 3, side, side)."""
    found = picture.unfold(1, side, stride).unfold(2, side, stride)  # (3, rows, columns, side, side)
    rows, columns = found.shape[1:3]
    if count is None:
        return found.permute(1, 2, 0, 3, 4).reshape(-1, 3, side, side)
    chosen = torch.randint(rows * columns, (count,), generator=random)
    return found[:, chosen // columns, chosen % columns].permute(1, 0, 2, 3).contiguous()


def gaussian(values: Tensor) -> dict[str, Tensor]:
    """Mean and inverse covariance, shrunk as by Ledoit and Wolf, of (N, dimensions)."""
    from sklearn.covariance import LedoitWolf

    fitted = LedoitWolf().fit(values.double().numpy())
    return {
        "mean": torch.from_numpy(np.asarray(fitted.location_)),
        "precision": torch.from_numpy(np.ascontiguousarray(fitted.precision_)),
    }


def mahalanobis(values: Tensor, density: dict[str, Tensor]) -> Tensor:
    """√((v − μ)ᵀ Σ⁻¹ (v − μ)) of each row of (N, dimensions): (N,) float64."""
    offsets = values.double() - density["mean"]
    return ((offsets @ density["precision"]) * offsets).sum(1).clamp(min=0).sqrt()


def kernel_distance(values: Tensor, points: Tensor, bandwidth: float) -> Tensor:
    """Minus the log of the mean Gaussian kernel between each row of (N, dimensions) and the normal points: (N,)."""
    exponents = -torch.cdist(values.double(), points.double()).square() / (2 * bandwidth**2)
    return np.log(len(points)) - torch.logsumexp(exponents, dim=1)
