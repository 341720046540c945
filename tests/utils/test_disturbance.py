"""Queries with another brightness or with noise, and queries that must be left alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.inerf.scene import CAMERA, camera, render
from utils.exposure import MAX_SHIFT, border_noise, border_pixels, change_brightness, has_intact_block, undo_disturbance

WHITE, BLACK = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def query() -> Tensor:
    return render(camera(30, 20), CAMERA).colour


def noisy(image: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + sigma * noise).clamp(0, 1)


def on_black() -> Tensor:
    rendering = render(camera(30, 20), CAMERA)
    return rendering.colour - (1 - rendering.opacity[..., None])


def test_a_query_like_the_views_is_left_alone(query: Tensor) -> None:
    assert undo_disturbance(query, WHITE) is query
    assert has_intact_block(query, WHITE) and not has_intact_block(change_brightness(query, -0.02), WHITE)
    slightly = noisy(query, 0.005)
    assert not has_intact_block(slightly, WHITE)
    assert undo_disturbance(slightly, WHITE) is slightly


@pytest.mark.parametrize("change", [-0.3, -0.2, -0.05])
def test_brightness_is_taken_back(query: Tensor, change: float) -> None:
    found = undo_disturbance(change_brightness(query, change), WHITE)
    kept = query.amax(-1) > -change + 0.01  # darker ones were cut off
    assert (found - query).abs()[kept].max() < 1e-4


def test_a_brightened_black_background_is_black_again() -> None:
    query = on_black().clamp(0, 1)
    found = undo_disturbance(change_brightness(query, 0.2), BLACK)
    assert border_pixels(found).max() == 0.0


@pytest.mark.parametrize("sigma", [0.02, 0.05])
@pytest.mark.parametrize("background", [WHITE, BLACK])
def test_noise_leaves_the_background_and_the_object_stays(
    query: Tensor, sigma: float, background: tuple[float, float, float]
) -> None:
    clean = query if background is WHITE else on_black().clamp(0, 1)
    disturbed = noisy(clean, sigma)
    found = undo_disturbance(disturbed, background)
    behind = torch.tensor(background)
    shown = (clean - behind).abs().amax(-1) > 0.04
    wrong = ((found - behind).abs().amax(-1) > 0.04) != shown
    assert wrong.float().mean() < 0.03 < (((disturbed - behind).abs().amax(-1) > 0.04) != shown).float().mean()
    assert (found - clean).abs()[shown].mean() < 0.08


def test_noise_is_measured(query: Tensor) -> None:
    for sigma in (0.02, 0.05):
        assert border_noise(noisy(query, sigma)) == pytest.approx(sigma, rel=0.15)
    assert border_noise(query) == 0.0


def test_what_is_no_disturbance_is_left_alone(query: Tensor) -> None:
    other = query.clone()
    other[:, :120] = torch.rand(200, 120, 3, generator=torch.Generator().manual_seed(1))
    assert border_noise(other) is None and undo_disturbance(other, WHITE) is other
    dark = change_brightness(query, -MAX_SHIFT - 0.1)  # another background, not another brightness
    assert torch.equal(undo_disturbance(dark, WHITE), dark)


@pytest.mark.parametrize("lightness", [0.2, 0.85, 0.95])
@pytest.mark.parametrize("columns", [30, 90])
def test_an_object_cut_by_the_frame_is_no_noise(query: Tensor, lightness: float, columns: int) -> None:
    cut = query.clone()
    texture = lightness + 0.04 * torch.randn(100, columns, 3, generator=torch.Generator().manual_seed(2))
    cut[100:, :columns] = texture.clamp(0, 1)
    assert undo_disturbance(cut, WHITE) is cut


def test_an_image_full_of_object_is_left_alone(query: Tensor) -> None:
    near = 0.6 + 0.08 * torch.randn(200, 200, 3, generator=torch.Generator().manual_seed(3))
    assert undo_disturbance(near.clamp(0, 1), WHITE).equal(near.clamp(0, 1))
    masked = query.clone()
    masked[:, 20:180] = near.clamp(0, 1)[:, 20:180]  # by a mask, with little background left
    assert undo_disturbance(masked, WHITE) is masked
