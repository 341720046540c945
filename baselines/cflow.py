"""CFlow-AD (arXiv:2107.12571): conditional flows give the likelihood of a feature vector at its place in the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.feature_extraction import ResNetName, extract_features, frozen_resnet
from baselines.preprocessing import normalise_images, resize_map, resize_to_square, resize_views
from baselines.protocol import Method
from baselines.training_loop import BatchSchedule, optimiser_step, run_training, seeded_rng
from scoring.paper import smooth_map
from utils.backbones import FeatureNetwork
from utils.errors import InputError
from utils.views import Views

VECTORS_AT_ONCE = 4096  # feature vectors that a flow scores at once


@dataclass(frozen=True)
class CFlowConfig:
    """CFlow's hyperparameters; the defaults are the paper's with Wide ResNet-50-2."""

    size: int = 256  # image size, pixels
    network: ResNetName = "wide_resnet50_2"  # frozen backbone
    layers: tuple[int, ...] = (2, 3, 4)  # layers of the backbone, with a flow for each
    condition: int = 128  # channels of the positional encoding
    blocks: int = 8  # coupling blocks of a flow
    clamp: float = 1.9  # limit of a coupling's log scale
    epochs: int = 200  # passes over the feature vectors (25 meta epochs of 8)
    vectors: int = 256  # feature vectors of each layer in a step, from all images and places
    rate: float = 2e-4  # learning rate of Adam
    sigma: float = 4.0  # smoothing of the map, pixels

    def __post_init__(self) -> None:
        if self.condition % 4:
            raise InputError(f"CFlow.condition must be a multiple of 4, found {self.condition}.")


class CFlow(Method[CFlowConfig]):
    """A conditional flow for each layer of a frozen backbone; the flows are anomalib's."""

    name = "CFlow"
    config_type = CFlowConfig
    fast_config = CFlowConfig(size=128, network="resnet18", epochs=1, blocks=4)

    @property
    def weights(self) -> tuple[str, ...]:
        """Return the name of the backbone's weights."""
        return (self.config.network,)

    def fit(self, views: Views) -> None:
        """Train the flows on feature vectors drawn from all images and places."""
        config, device = self.config, self.context.device
        features = extract_features(self.backbone, normalise_images(resize_views(views, config.size)), device)
        vectors = [each.permute(0, 2, 3, 1).flatten(0, 2) for each in features]  # (images · places, channels)
        encodings = [positional_encoding(config.condition, *each.shape[2:]) for each in features]  # (places, condition)
        flows = self.new_flows()
        optimiser = torch.optim.Adam(flows.parameters(), lr=config.rate)

        def take_step(_rows: Tensor) -> dict[str, Tensor]:
            losses = []
            for flow, values, codes in zip(flows, vectors, encodings):
                chosen = torch.randint(len(values), (config.vectors,))
                losses.append(flow_loss(flow, values[chosen].to(device), codes[chosen % len(codes)].to(device)))
            loss = torch.stack(losses).sum()
            optimiser_step(optimiser, loss)
            return {"loss": loss.detach()}

        steps = config.epochs * max(1, len(vectors[0]) // config.vectors)
        schedule = BatchSchedule(len(views), len(views), steps)
        run_training(self.name, schedule, take_step, {"flows": flows, "optimiser": optimiser}, self.context)
        self.flows = flows.eval()
        likeliest = [
            max(float(log_likelihoods(flow, image.to(device), codes).max()) for image in layer.split(1))
            for flow, layer, codes in zip(self.flows, features, encodings)
        ]
        self.likeliest = torch.tensor(likeliest, device=device)  # (layers,)

    @cached_property
    def backbone(self) -> FeatureNetwork:
        """Load the frozen backbone."""
        return frozen_resnet(self.config.network, self.config.layers, self.context)

    def new_flows(self) -> nn.ModuleList:
        """Build the untrained flows."""
        from anomalib.models.image.cflow.utils import cflow_head  # noqa: PLC0415  optional extra

        config = self.config
        with seeded_rng(self.context.seed, self.name):
            flows = [cflow_head(config.condition, config.blocks, config.clamp, n) for n in self.backbone.channels]
        return nn.ModuleList(flows).to(self.context.device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the smoothed sum over layers of each place's unlikeliness, and its maximum."""
        config, device = self.config, self.context.device
        layers = self.backbone(normalise_images(resize_to_square(image.to(device), config.size)))
        total = torch.zeros(1, 1, config.size, config.size, device=device)
        for flow, layer, likeliest in zip(self.flows, layers, self.likeliest):
            codes = positional_encoding(config.condition, *layer.shape[2:])
            unlikely = unlikeliness(log_likelihoods(flow, layer, codes), likeliest).reshape(1, 1, *layer.shape[2:])
            total += functional.interpolate(unlikely, size=total.shape[2:], mode="bilinear", align_corners=True)
        smooth = smooth_map(total[0, 0].cpu(), config.sigma)
        return resize_map(smooth, image), float(smooth.max())

    def tensors(self) -> dict[str, Tensor]:
        """Return the flows and each one's largest log-likelihood of a normal feature vector."""
        return {**self.flows.state_dict(), "likeliest": self.likeliest}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the flows and their largest log-likelihoods."""
        self.likeliest = tensors["likeliest"]
        self.flows = self.new_flows().eval()
        self.flows.load_state_dict({name: value for name, value in tensors.items() if name != "likeliest"})


def positional_encoding(condition: int, height: int, width: int) -> Tensor:
    """Return sines and cosines of each place, (height · width, condition), row by row."""
    from anomalib.models.image.cflow.utils import positional_encoding_2d  # noqa: PLC0415  optional extra

    return positional_encoding_2d(condition, height, width).flatten(1).T.contiguous()


@torch.no_grad()
def log_likelihoods(flow: nn.Module, layer: Tensor, codes: Tensor) -> Tensor:
    """Return the log-likelihood of each place of one image's layer (1, channels, height, width): (height · width,)."""
    vectors, codes = layer[0].flatten(1).T, codes.to(layer.device)
    pairs = zip(vectors.split(VECTORS_AT_ONCE), codes.split(VECTORS_AT_ONCE))
    return torch.cat([log_likelihood(flow, *pair) for pair in pairs])


def log_likelihood(flow: nn.Module, vectors: Tensor, codes: Tensor) -> Tensor:
    """Return the log-likelihood per channel (N,) of feature vectors (N, channels) at encoded places (N, condition)."""
    from anomalib.models.image.cflow.utils import get_logp  # noqa: PLC0415  optional extra

    noise, determinant = flow(vectors, [codes])
    return get_logp(vectors.shape[1], noise, determinant) / vectors.shape[1]


def flow_loss(flow: nn.Module, vectors: Tensor, codes: Tensor) -> Tensor:
    """Return the mean of −log σ(log-likelihood), as in the paper's code, which gives likely vectors little weight."""
    return -functional.logsigmoid(log_likelihood(flow, vectors, codes)).mean()


def unlikeliness(values: Tensor, likeliest: Tensor) -> Tensor:
    """Return 1 − exp(log p − largest log p of normal views) of log-likelihoods ``values``, in [0, 1).

    The paper's code takes the largest value of the whole test set, anomalib's that of the image, which makes the scores
    of different images incomparable.
    """
    return 1 - torch.exp((values - likeliest).clamp(max=0))
