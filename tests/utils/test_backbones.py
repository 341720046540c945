"""Shapes of the shared networks, and EfficientNet-B4 under the paper's and under torchvision's convention."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import efficientnet_b4 as torchvision_b4

from tests.lite0 import need_lite0
from utils import backbones
from utils.backbones import Levels, Lite0Levels, efficientnet_b4, imagenet_normalised, resnet50
from utils.efficientnet_lite import efficientnet_lite0
from utils.weights import Weights

NOISE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("whose", ["paper", "torchvision"])
def test_levels_have_the_papers_channels_and_strides(whose: str) -> None:
    network = efficientnet_b4(Weights(backbone="random", efficientnet=whose))  # type: ignore[arg-type]
    levels = network(torch.rand(2, 3, 64, 96))
    expected = [(2, 24, 32, 48), (2, 32, 16, 24), (2, 56, 8, 12), (2, 160, 4, 6)]
    assert [tuple(level.shape) for level in levels] == expected
    assert all(float(level.std()) > 1e-4 for level in levels)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_lite0_stands_in_with_levels_of_the_same_strides() -> None:
    need_lite0()
    network = efficientnet_b4(Weights(backbone="lite0"))
    levels = network(imagenet_normalised(torch.rand(2, 64, 96, 3)))
    assert [tuple(level.shape[1:]) for level in levels] == [(16, 32, 48), (24, 16, 24), (40, 8, 12), (112, 4, 6)]
    assert network.channels == (16, 24, 40, 112)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


def test_lite0_sees_the_colours_that_were_normalised() -> None:
    need_lite0()
    images, strides = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0)), (4, 32)
    wanted = efficientnet_lite0(Weights(), strides)(images.permute(0, 3, 1, 2))
    found = Lite0Levels(strides, Weights())(imagenet_normalised(images))
    assert [level.shape[1:] for level in found] == [(24, 16, 16), (320, 2, 2)]
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(found, wanted))


def test_random_weights_are_the_same_each_time_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    first = efficientnet_b4(Weights(backbone="random"))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    again = efficientnet_b4(Weights(backbone="random"))
    assert all(torch.equal(one, other) for one, other in zip(first(NOISE), again(NOISE)))


def test_the_conventions_differ_where_strides_meet_3_x_3() -> None:
    paper, ours = (
        efficientnet_b4(Weights(backbone="random", efficientnet=whose)) for whose in ("paper", "torchvision")
    )
    ours.load_state_dict(paper.state_dict())
    assert not torch.allclose(paper(NOISE)[0], ours(NOISE)[0], rtol=1e-2)


def test_the_papers_network_gives_what_its_original_gives() -> None:
    picture = torch.randn(1, 3, 75, 98, generator=torch.Generator().manual_seed(0))
    levels = efficientnet_b4(Weights(backbone="random"))(picture)
    assert [tuple(level.shape[2:]) for level in levels] == [(37, 49), (18, 24), (9, 12), (4, 6)]
    means = [float(level.abs().mean()) for level in levels]
    # of the paper's code with the same weights; torchvision's convention gives 0.3556, 0.1276, 0.0322, 0.00210
    assert means == pytest.approx([0.357443, 0.129646, 0.033131, 0.002113], rel=1e-3)


def padded_as_tensorflow(convolution: nn.Conv2d, picture: Tensor) -> Tensor:
    """A convolution as TensorFlow's "SAME" would do it, from its rule for the size of the output."""
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    length = picture.shape[-1]
    missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    before = missing // 2
    picture = nn.functional.pad(picture, [before, missing - before] * 2)
    return nn.functional.conv2d(picture, convolution.weight, convolution.bias, stride=stride, groups=convolution.groups)


def test_the_papers_convolutions_are_those_of_tensorflow() -> None:
    network = efficientnet_b4(Weights(backbone="random"))
    checked = 0
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            side = 15 if layer.kernel_size == (5, 5) else 16  # its 5 x 5 steps of 2 meet odd sizes, the 3 x 3 even ones
            picture = torch.randn(1, layer.in_channels, side, side, generator=torch.Generator().manual_seed(0))
            torch.testing.assert_close(layer(picture), padded_as_tensorflow(layer, picture), rtol=1e-4, atol=1e-4)
            checked += layer.stride == (2, 2)
    assert checked == 4


def paper_names() -> dict[str, tuple[int, ...]]:
    """Names and shapes of some of the tensors in efficientnet-b4-6ed6700e.pth, one of each kind."""
    return {
        "_conv_stem.weight": (48, 3, 3, 3),
        "_bn0.running_var": (48,),
        "_blocks.0._depthwise_conv.weight": (48, 1, 3, 3),
        "_blocks.1._se_reduce.bias": (6,),
        "_blocks.1._project_conv.weight": (24, 24, 1, 1),
        "_blocks.2._expand_conv.weight": (144, 24, 1, 1),
        "_blocks.5._bn0.weight": (192,),
        "_blocks.6._depthwise_conv.weight": (192, 1, 5, 5),
        "_blocks.10._se_expand.weight": (336, 14, 1, 1),
        "_blocks.16._project_conv.weight": (160, 672, 1, 1),
        "_blocks.21._bn2.bias": (160,),
    }


def test_the_papers_tensors_find_their_places() -> None:
    places = Levels().state_dict()
    for name, shape in paper_names().items():
        (place,) = backbones._from_paper({name: torch.zeros(shape)})
        assert places[place].shape == shape, name
    left_out = {"_blocks.22._bn1.weight": NOISE, "_conv_head.weight": NOISE, "_bn1.weight": NOISE, "_fc.bias": NOISE}
    assert backbones._from_paper(left_out) == {}


def test_the_papers_names_and_torchvisions_places_are_one_to_one() -> None:
    parts = ["_expand_conv.weight", "_depthwise_conv.weight", "_se_reduce.weight", "_se_reduce.bias"]
    parts += ["_se_expand.weight", "_se_expand.bias", "_project_conv.weight"]
    parts += [f"_bn{index}.{name}" for index in range(3) for name in ("weight", "bias", "running_mean", "running_var")]
    names = [f"_blocks.{block}.{part}" for block in range(22) for part in parts]
    names = [name for name in names if not (name.startswith(("_blocks.0.", "_blocks.1.")) and "_expand_conv" in name)]
    names = [name for name in names if not name.startswith(("_blocks.0._bn0", "_blocks.1._bn0"))]
    names += ["_conv_stem.weight", *(f"_bn0.{name}" for name in ("weight", "bias", "running_mean", "running_var"))]
    found = backbones._from_paper(dict.fromkeys(names, NOISE))
    wanted = {name for name in Levels().state_dict() if not name.endswith("num_batches_tracked")}
    assert len(found) == len(names)
    assert set(found) == wanted


def test_torchvisions_levels_are_what_its_whole_network_passes_through() -> None:
    whole = torchvision_b4(weights=None).eval()
    ours = Levels().eval()
    ours.load_state_dict({name: value for name, value in whole.state_dict().items() if name in ours.state_dict()})
    seen: list[Tensor] = []
    for stage in (1, 2, 3, 5):
        whole.features[stage].register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        whole(NOISE)
        assert all(torch.equal(one, other) for one, other in zip(ours(NOISE), seen))


def test_resnet_gives_one_descriptor_a_picture() -> None:
    network = resnet50(Weights(backbone="random"))
    descriptors = network(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert descriptors.shape == (2, 2048)
    assert not torch.allclose(descriptors[0], descriptors[1])


def test_normalised_colours_are_imagenets() -> None:
    mean = torch.tensor([0.485, 0.456, 0.406]).expand(1, 2, 5, 3)
    assert imagenet_normalised(mean).shape == (1, 3, 2, 5)
    assert float(imagenet_normalised(mean).abs().max()) == 0.0
    one_deviation = imagenet_normalised(mean + torch.tensor([0.229, 0.224, 0.225]))
    torch.testing.assert_close(one_deviation, torch.ones(1, 3, 2, 5))
