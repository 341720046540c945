"""Checkpoints of nerf-pytorch: images against numbers of its own code, and every way a file can be wrong."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nerf.fields import load_any_field
from nerf.mlp.field import MlpField
from nerf.mlp.method import MlpMethod
from nerf.mlp.sampling import axis_rays
from nerf.settings import NerfConfig
from tests.nerf.mlp.official_weights import Case, cases, content
from utils.camera import pixel_centres
from utils.errors import InputError
from utils.progress import Progress
from utils.run_context import RunContext

CASES = cases(Path(__file__).with_name("nerf_pytorch.json"))
SMALL = CASES["small"]


def imported(case: Case, config: NerfConfig) -> MlpField:
    """Return the field that replaces training."""
    field = MlpMethod(config).train(case.views(), RunContext(torch.device("cpu")), None)
    assert isinstance(field, MlpField)
    return field


@pytest.mark.parametrize("name", list(CASES))
def test_images_are_those_of_nerf_pytorch(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    field = imported(case, case.write_tar(tmp_path / "200000.tar"))
    rendering = field.render(case.pose, case.camera)
    colour, opacity, disparity = (case.numbers[key] for key in ("colour", "opacity", "disparity"))
    assert float(colour.std()) > 0.05
    torch.testing.assert_close(rendering.colour, colour, atol=1e-5, rtol=0)
    torch.testing.assert_close(rendering.opacity, opacity, atol=1e-5, rtol=0)
    seen = opacity > 0.01
    pixels = pixel_centres(case.camera).reshape(-1, 2) - 0.5
    stretch = axis_rays(pixels, case.camera, case.pose).lengths().view(opacity.shape)
    torch.testing.assert_close(rendering.depth[seen], (stretch / disparity)[seen], atol=1e-4, rtol=1e-5)
    single = field.render_pixels(pixel_centres(case.camera).reshape(-1, 2), case.pose, case.camera)
    torch.testing.assert_close(single.view_as(colour), colour, atol=1e-5, rtol=0)


def test_another_image_size_shows_the_same(tmp_path: Path) -> None:
    """The half pixel is one of the training images, whatever is rendered."""
    field = imported(SMALL, SMALL.write_tar(tmp_path / "200000.tar"))
    thrice = SMALL.camera.resized(3 * SMALL.camera.width, 3 * SMALL.camera.height)
    middle = field.render(SMALL.pose, thrice).colour[1::3, 1::3]  # the same rays
    torch.testing.assert_close(middle, SMALL.numbers["colour"], atol=1e-5, rtol=0)


def test_it_is_saved_and_loaded_with_its_conventions(tmp_path: Path) -> None:
    field = imported(SMALL, SMALL.write_tar(tmp_path / "200000.tar"))
    field.save(tmp_path / "field.safetensors")
    again = load_any_field(tmp_path / "field.safetensors")
    assert torch.equal(again.render(SMALL.pose, SMALL.camera).colour, field.render(SMALL.pose, SMALL.camera).colour)
    assert str(tmp_path).encode() not in (tmp_path / "field.safetensors").read_bytes()


def test_the_paper_s_bounds_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = replace(SMALL.write_tar(tmp_path / "200000.tar"), near=None, far=None)
    field = MlpMethod(config).train(SMALL.views(), RunContext(torch.device("cpu"), progress=Progress()), None)
    assert isinstance(field, MlpField)
    assert (field.networks.config.near, field.networks.config.far) == (2.0, 6.0)
    said = capsys.readouterr().err
    assert "near and far" in said and "200000 steps" in said and "nothing is trained" in said


def error_of(broken: Any, tmp_path: Path, config: NerfConfig = SMALL.config) -> str:
    """Return the error of a file that holds ``broken``."""
    torch.save(broken, tmp_path / "200000.tar")
    with pytest.raises(InputError) as caught:
        imported(SMALL, replace(config, ft_path=str(tmp_path / "200000.tar")))
    assert "200000.tar" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"netwidth": 256}, "--netwidth 32"),
        ({"netdepth": 4}, "--netdepth 8"),
        ({"netwidth_fine": 16}, "--netwidth_fine 32"),
        ({"netdepth_fine": 7}, "--netdepth_fine 8"),
        ({"multires": 6}, "--multires 10"),
        ({"multires_views": 2}, "--multires_views 4"),
        ({"use_viewdirs": False}, "--use_viewdirs True"),
    ],
)
def test_the_fitting_setting_is_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    saved = content(SMALL.config, 1)
    assert said in error_of(saved, tmp_path, replace(SMALL.config, **change))


def without(key: str) -> Callable[[dict], None]:
    return lambda saved: saved["network_fine_state_dict"].pop(key)


def with_value(key: str, value: Any) -> Callable[[dict], None]:
    return lambda saved: saved["network_fn_state_dict"].update({key: value})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda saved: saved.pop("network_fn_state_dict"), "missing: network_fn_state_dict"),
        (lambda saved: saved.pop("network_fine_state_dict"), "N_importance = 0"),
        (lambda saved: saved.update(epoch=3), "unknown: epoch"),
        (lambda saved: saved.update(network_fn_state_dict=[1, 2]), "not a dict of tensors"),
        (without("rgb_linear.bias"), "missing: rgb_linear.bias"),
        (without("pts_linears.0.weight"), "missing: pts_linears.0.weight"),
        (with_value("pts_linears.3.scale", torch.ones(1)), "unknown: pts_linears.3.scale"),
        (with_value("pts_linears.3.weight", torch.ones(32, 31)), "pts_linears.3.weight has shape (32, 31)"),
        (with_value("alpha_linear.bias", torch.tensor([torch.nan])), "alpha_linear.bias"),
    ],
)
def test_damage_is_reported(damage: Callable[[dict], None], said: str, tmp_path: Path) -> None:
    saved = content(SMALL.config, 1)
    damage(saved)
    assert said in error_of(saved, tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "holds a list" in error_of([1, 2], tmp_path)
    config = replace(SMALL.config, ft_path=str(tmp_path / "none.tar"))
    with pytest.raises(InputError, match=r"none\.tar.* is not a file"):
        imported(SMALL, config)
    for junk in (b"", b"not a checkpoint", pickle.dumps(print)):
        Path(config.ft_path).write_bytes(junk)
        with pytest.raises(InputError, match=r"none\.tar"):
            imported(SMALL, config)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "trapped",)

    saved = content(SMALL.config, 1) | {"optimizer_state_dict": Trap()}
    assert "run code" in error_of(saved, tmp_path)
    assert not (tmp_path / "trapped").exists()


def test_the_coarse_network_alone_suffices(tmp_path: Path) -> None:
    saved = content(SMALL.config, 1)
    del saved["network_fine_state_dict"], saved["optimizer_state_dict"]
    torch.save(saved, tmp_path / "coarse.tar")
    field = imported(SMALL, replace(SMALL.config, N_importance=0, ft_path=str(tmp_path / "coarse.tar")))
    assert float(field.render(SMALL.pose, SMALL.camera).opacity.max()) > 0.5
