from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from retrieval import loftr
from retrieval.loftr import LoftrMatcher, make_matcher
from tests.retrieval.rendered_views import grid, views_at
from tests.retrieval.tuned import tuned_matcher
from utils import weights
from utils.errors import InputError
from utils.weights import Weights


@pytest.fixture(scope="module")
def matcher() -> LoftrMatcher:
    return tuned_matcher(96, Weights(backbone="random"), torch.device("cpu"))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return views_at(grid()[10:16]).images


def test_counts_are_those_of_the_whole_network(matcher: LoftrMatcher, images: Tensor) -> None:
    """The slow twin: kornia's own forward pass, pair by pair, fine stage and all."""
    maps = matcher.coarse_maps(images)
    counts = matcher.count_matches(maps[2:3], maps)
    grey = loftr.to_grey(images, 96)
    for index in range(len(images)):
        with torch.no_grad():
            whole = matcher.network({"image0": grey[2:3], "image1": grey[index : index + 1]})
        assert int(counts[index]) == len(whole["confidence"])
    assert int(counts.max()) > 5


def test_an_image_matches_itself_best(matcher: LoftrMatcher, images: Tensor) -> None:
    maps = matcher.coarse_maps(images)
    for index in range(len(images)):
        assert int(matcher.count_matches(maps[index : index + 1], maps.half()).argmax()) == index


def test_grey_images_have_sides_of_whole_cells() -> None:
    images = torch.rand(2, 50, 75, 3, generator=torch.Generator().manual_seed(0))
    grey = loftr.to_grey(images, 75)
    assert grey.shape == (2, 1, 48, 72)
    same = loftr.to_grey(images[:, :48, :72], 72)
    torch.testing.assert_close(same[0, 0, 3, 4], images[0, 3, 4] @ torch.tensor([0.299, 0.587, 0.114]))


def test_the_papers_file_is_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "mismatch", lambda *_: None)  # its digest is not this file's
    made = make_matcher(96, Weights(backbone="random"), torch.device("cpu"))
    state = {f"matcher.{name}": value for name, value in made.network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "indoor_ds_new.ckpt")
    read = make_matcher(96, Weights(folder=str(tmp_path)), torch.device("cpu"))
    assert all(torch.equal(value, read.network.state_dict()[name]) for name, value in made.network.state_dict().items())
    assert read.weights != made.weights
    state.pop("matcher.backbone.conv1.weight")
    torch.save({"state_dict": state}, tmp_path / "indoor_ds_new.ckpt")
    with pytest.raises(InputError, match=r"backbone\.conv1\.weight"):
        make_matcher(96, Weights(folder=str(tmp_path)), torch.device("cpu"))
