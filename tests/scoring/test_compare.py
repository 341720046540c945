"""Comparator, calibration and maps, with a network trained on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from scoring.calibration import Calibration, calibrate
from scoring.comparator import WIDTH, Comparator, load_comparator, network
from scoring.compare import anomaly_map, anomaly_score
from scoring.features import CHANNELS, features
from scoring.learn import Example, augmented, learn
from utils.config import ScoreConfig
from utils.errors import InputError
from utils.progress import Progress
from utils.rendering import Rendering


def pair(seed: int, defect: bool) -> tuple[Tensor, Rendering, Tensor]:
    """A grainy disc, its clean reference, and the mask of a small patch of another colour."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(64) - 32, torch.arange(64) - 32, indexing="ij")
    disc = ((x**2 + y**2) < 24**2).float()
    colour = 1 - disc[..., None] * torch.tensor([0.8, 0.3, 0.5])
    query = colour + 0.01 * disc[..., None] * torch.randn(64, 64, 3, generator=generator)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    if defect:
        row, column = (int(value) for value in torch.randint(18, 40, (2,), generator=generator))
        mask[row : row + 5, column : column + 5] = True
        query[mask] = torch.tensor([0.9, 0.8, 0.1])
    return query.clamp(0, 1), Rendering(colour, disc, disc), mask


def taught() -> Comparator:
    examples = [Example.of(*pair(seed, seed % 2 == 1)[:2], pair(seed, seed % 2 == 1)[2]) for seed in range(6)]
    return learn(examples, 60, 0, Progress(quiet=True))


def test_learning_is_reproducible_and_finds_new_defects() -> None:
    comparator = taught()
    again = taught()
    assert all(torch.equal(a, b) for a, b in zip(comparator.state().values(), again.state().values()))
    calibration = Calibration(0.0, 1.0, 1.0, comparator)

    def scores(defect: bool) -> list[float]:
        maps = [anomaly_map(*pair(seed, defect)[:2], calibration) for seed in range(20, 24)]
        return [anomaly_score(map_, calibration) for map_ in maps]

    assert min(scores(True)) > max(scores(False))
    query, reference, mask = pair(30, True)
    peak = int(anomaly_map(query, reference, calibration).argmax())
    near = torch.nn.functional.max_pool2d(mask[None].float(), 5, 1, 2)[0]
    assert float(near.flatten()[peak]) == 1.0


def test_features_and_augmentation_keep_their_channels() -> None:
    query, reference, mask = pair(1, True)
    channels = features(query.permute(2, 0, 1), reference.colour.permute(2, 0, 1), reference.opacity)
    assert channels.shape == (CHANNELS, 64, 64)
    assert bool(channels.isfinite().all())
    turned, turned_mask = augmented(channels, mask.float(), torch.Generator().manual_seed(3))
    assert turned.shape == channels.shape
    assert float(turned_mask.sum()) == float(mask.sum())
    torch.testing.assert_close(turned.sum(), channels.sum())


def test_threshold_is_the_quantile_of_the_gumbel_distribution() -> None:
    torch.manual_seed(0)
    comparator = Comparator.of(network().state_dict())
    pairs = [pair(seed, False)[:2] for seed in range(8)]
    calibration = calibrate(pairs, ScoreConfig(false_positive_rate=0.1))
    assert calibration.p_value(calibration.threshold) == pytest.approx(0.1, abs=1e-6)
    assert calibration.p_value(calibration.threshold + 10 * calibration.scale) < 1e-4
    looser = calibrate(pairs, ScoreConfig(false_positive_rate=0.3))
    assert looser.threshold < calibration.threshold
    with pytest.raises(ValueError, match="at least one pair"):
        calibrate([], ScoreConfig())
    assert comparator.layers[0].out_channels == WIDTH


def test_calibration_comes_back_bit_for_bit() -> None:
    query, reference, _ = pair(2, True)
    calibration = calibrate([pair(0, False)[:2], pair(1, False)[:2]], ScoreConfig())
    again = Calibration.from_state_dict(calibration.state_dict())
    assert (again.location, again.scale, again.threshold) == (
        calibration.location,
        calibration.scale,
        calibration.threshold,
    )
    assert torch.equal(anomaly_map(query, reference, again), anomaly_map(query, reference, calibration))


def test_the_map_is_zero_far_from_the_object() -> None:
    query, reference, _ = pair(0, False)
    large = torch.ones(160, 160, 3)
    large[:64, :64] = query
    rendering = Rendering(torch.ones(160, 160, 3), torch.zeros(160, 160), torch.zeros(160, 160))
    rendering.colour[:64, :64], rendering.opacity[:64, :64] = reference.colour, reference.opacity
    map_ = anomaly_map(large, rendering, calibrate([(query, reference)], ScoreConfig()))
    assert float(map_[80:, 80:].abs().max()) == 0.0
    assert bool((map_ >= 0).all())


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights .* are missing"):
        load_comparator(tmp_path / "none.safetensors")
