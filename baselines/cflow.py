"""CFlow-AD (arXiv:2107.12571): the likelihood of each feature vector, given its place in the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.features import CHANNELS, ResNetLayers, frozen, in_batches
from baselines.pictures import normalised, scaled_map, squared, squared_views
from baselines.protocol import Method
from baselines.training import Schedule, seeded, train
from scoring.paper import smooth_map
from utils.errors import InputError
from utils.views import Views
from utils.weights import fingerprint

PREDICTED_AT_ONCE = 4096  # feature vectors


@dataclass(frozen=True)
class CFlowConfig:
    """CFlow's settings, by default the paper's with WideResNet-50-2."""

    size: int = 256  # pixels of a side to which pictures are scaled
    network: str = "wide_resnet50_2"  # or "resnet18"
    layers: tuple[int, ...] = (2, 3, 4)  # layers of the network, with a flow for each
    condition: int = 128  # values that tell a flow the place
    blocks: int = 8  # coupling blocks of a flow
    clamp: float = 1.9  # limit of what a coupling may scale by
    epochs: int = 200  # times that each feature vector is seen (25 meta epochs of 8)
    vectors: int = 256  # feature vectors in a step, of all pictures and places of a layer
    rate: float = 2e-4  # step size of Adam
    sigma: float = 4.0  # pixels by which the map is smoothed

    def __post_init__(self) -> None:
        if self.network not in CHANNELS:
            raise InputError(f"CFlow.network must be one of {', '.join(CHANNELS)}, found {self.network!r}.")
        if self.condition % 4:
            raise InputError(f"CFlow.condition must be a multiple of 4, found {self.condition}.")


class CFlow(Method[CFlowConfig]):
    """A conditional flow for each layer of a frozen network. The flows are anomalib's."""

    Config = CFlowConfig
    FAST = CFlowConfig(size=128, network="resnet18", epochs=1, blocks=4)
    WEIGHTS: ClassVar[tuple[str, ...]] = ("wide_resnet50_2",)

    def fit(self, views: Views) -> None:
        """Train the flows; a step takes vectors of each layer, drawn from all pictures and places."""
        config, device = self.config, self.context.device
        features = in_batches(self.network, normalised(squared_views(views, config.size)), device)
        vectors = [each.permute(0, 2, 3, 1).flatten(0, 2) for each in features]  # (pictures · places, channels)
        places = [place_codes(config.condition, *each.shape[2:]) for each in features]  # (places, condition)
        flows = self.new_flows()
        optimiser = torch.optim.Adam(flows.parameters(), lr=config.rate)

        def take_step(rows: Tensor) -> dict[str, Tensor]:
            losses = []
            for flow, values, codes in zip(flows, vectors, places):
                chosen = torch.randint(len(values), (config.vectors,))
                losses.append(flow_loss(flow, values[chosen].to(device), codes[chosen % len(codes)].to(device)))
            loss = torch.stack(losses).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return {"loss": loss.detach()}

        steps = config.epochs * max(1, len(vectors[0]) // config.vectors)
        schedule = Schedule(len(views), len(views), steps)
        train("CFlow", schedule, take_step, {"flows": flows, "optimiser": optimiser}, self.context)
        self.flows = flows.eval()
        likeliest = [
            max(float(self.likelihoods(flow, some.to(device), codes).max()) for some in each.split(1))
            for flow, each, codes in zip(self.flows, features, places)
        ]
        self.likeliest = torch.tensor(likeliest, device=device)  # (layers,)

    @cached_property
    def network(self) -> ResNetLayers:
        """The frozen network, made when it is first asked for."""
        return frozen(self.config.network, self.config.layers, self.context)

    def new_flows(self) -> nn.ModuleList:
        """Flows that have learned nothing."""
        from anomalib.models.image.cflow.utils import cflow_head

        config = self.config
        with seeded(self.context.seed, "CFlow"):
            flows = [cflow_head(config.condition, config.blocks, config.clamp, n) for n in self.network.channels]
        return nn.ModuleList(flows).to(self.context.device)

    @torch.no_grad()
    def predict(self, image: Tensor) -> tuple[Tensor, float]:
        """The sum over layers of how unlikely each place is, smoothed, and its maximum."""
        config, device = self.config, self.context.device
        layers = self.network(normalised(squared(image.to(device), config.size)))
        total = torch.zeros(1, 1, config.size, config.size, device=device)
        for flow, layer, likeliest in zip(self.flows, layers, self.likeliest):
            codes = place_codes(config.condition, *layer.shape[2:])
            small = unlikeliness(self.likelihoods(flow, layer, codes), likeliest).reshape(1, 1, *layer.shape[2:])
            total += functional.interpolate(small, size=total.shape[2:], mode="bilinear", align_corners=True)
        whole = smooth_map(total[0, 0].cpu(), config.sigma)
        return scaled_map(whole, image), float(whole.max())

    @torch.no_grad()
    def likelihoods(self, flow: nn.Module, layer: Tensor, codes: Tensor) -> Tensor:
        """Log-likelihood of each place of a picture's layer (1, channels, height, width): (height · width,)."""
        values, codes = layer[0].flatten(1).T, codes.to(layer.device)
        pairs = zip(values.split(PREDICTED_AT_ONCE), codes.split(PREDICTED_AT_ONCE))
        return torch.cat([log_likelihood(flow, *pair) for pair in pairs])

    def tensors(self) -> dict[str, Tensor]:
        """The flows, and the largest log-likelihood that each gave to a normal view."""
        return {**self.flows.state_dict(), "likeliest": self.likeliest}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over flows."""
        self.likeliest = tensors["likeliest"]
        self.flows = self.new_flows().eval()
        self.flows.load_state_dict({name: value for name, value in tensors.items() if name != "likeliest"})

    def fingerprints(self) -> dict[str, str]:
        """The weights of the chosen network."""
        return {self.config.network: fingerprint(self.config.network, self.context.weights)}


def place_codes(condition: int, height: int, width: int) -> Tensor:
    """Sines and cosines of each place, (height · width, condition), row by row."""
    from anomalib.models.image.cflow.utils import positional_encoding_2d

    return positional_encoding_2d(condition, height, width).flatten(1).T.contiguous()


def log_likelihood(flow: nn.Module, vectors: Tensor, codes: Tensor) -> Tensor:
    """Log-likelihood a channel of feature vectors (N, channels) at places (N, condition): (N,)."""
    from anomalib.models.image.cflow.utils import get_logp

    noise, determinant = flow(vectors, [codes])
    return get_logp(vectors.shape[1], noise, determinant) / vectors.shape[1]


def flow_loss(flow: nn.Module, vectors: Tensor, codes: Tensor) -> Tensor:
    """The mean of −log σ(log-likelihood), as in the paper's code: vectors that are likely enough count little."""
    return -functional.logsigmoid(log_likelihood(flow, vectors, codes)).mean()


def unlikeliness(log_likelihoods: Tensor, likeliest: Tensor) -> Tensor:
    """1 − exp(log p − largest log p of normal views): 0 where the likeliest normal vector is, below 1.

    The paper's code takes the largest value of the whole test set, anomalib's that of the picture, by which scores of
    pictures could not be compared.
    """
    return 1 - torch.exp((log_likelihoods - likeliest).clamp(max=0))
