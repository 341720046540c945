"""What all methods share: the registry, saving, the training loop."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from baselines.preprocessing import resize_map, resize_to_square, resize_views
from baselines.registry import find_method, make_method
from baselines.training_loop import BatchSchedule, run_training
from tests.baselines.discs import disc_views
from utils.errors import InputError
from utils.run_context import RunContext

EXAMPLE = str(Path(__file__).resolve().parent.parent.parent / "examples" / "nearest_view.py") + ":NearestView"
CPU = torch.device("cpu")


def test_an_unknown_method_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"did you mean patchcore.*STFPM.*UniAD"):
        find_method("patchcor")


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(InputError, match="no setting 'sizes'; did you mean size"):
        make_method(EXAMPLE, RunContext(CPU), overrides={"sizes": 3})


def test_fast_changes_the_preset_and_changes_win() -> None:
    assert make_method(EXAMPLE, RunContext(CPU)).config.size == 128
    assert make_method(EXAMPLE, RunContext(CPU), fast=True).config.size == 64
    assert make_method(EXAMPLE, RunContext(CPU), fast=True, overrides={"size": 32}).config.size == 32


def test_the_example_finds_a_painted_square_and_comes_back_from_its_file(tmp_path: Path) -> None:
    views = disc_views(count=6, size=64)
    method = make_method(EXAMPLE, RunContext(CPU), fast=True)
    method.fit(views)
    good = views.image(2)
    bad = good.clone()
    bad[20:30, 24:34] = torch.tensor([1.0, 0.0, 0.0])
    good_map, good_score = method.predict(good)
    bad_map, bad_score = method.predict(bad)
    assert good_score == 0.0 and not good_map.any()
    assert bad_score > 0.1 and bad_map[20:30, 24:34].min() > bad_map[:15].max()
    method.save(tmp_path)
    again = make_method(EXAMPLE, RunContext(CPU), fast=True)
    again.load(tmp_path)
    assert torch.equal(again.predict(bad)[0], bad_map)
    other = make_method(EXAMPLE, RunContext(CPU))
    with pytest.raises(InputError, match="was made with config"):
        other.load(tmp_path)


def fit_line(folder: Path | None, stop_after: int | None = None) -> nn.Linear:
    """Fit a line to three points; with ``stop_after`` it is interrupted after so many steps."""
    torch.manual_seed(0)
    module = nn.Linear(1, 1)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    data = torch.tensor([[0.0, 1.0], [1.0, 3.0], [2.0, 5.0]])
    taken = 0

    def take_step(rows: torch.Tensor) -> dict[str, torch.Tensor]:
        nonlocal taken
        if taken == stop_after:
            raise KeyboardInterrupt
        taken += 1
        x, y = data[rows, :1], data[rows, 1:]
        loss = (module(x + 0.01 * torch.randn_like(x)) - y).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss.detach()}

    schedule, context = BatchSchedule(3, 2, 20), RunContext(CPU, folder=folder)
    run_training("line", schedule, take_step, {"m": module, "o": optimiser}, context)
    return module


def test_an_interrupted_training_ends_with_the_same_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_line(None)
    monkeypatch.setattr("baselines.training_loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        fit_line(tmp_path, stop_after=7)
    resumed = fit_line(tmp_path)
    assert torch.equal(whole.weight, resumed.weight) and torch.equal(whole.bias, resumed.bias)


def test_a_foreign_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "unfinished.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a checkpoint of this training"):
        fit_line(tmp_path)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(InputError, match="diverged at step 3: loss is nan; lower its learning rate"):
        run_training("line", BatchSchedule(3, 2, 3), lambda _: {"loss": torch.tensor(math.nan)}, {}, RunContext(CPU))


def test_training_leaves_the_global_random_numbers_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    fit_line(None)
    torch.random.set_rng_state(state)
    assert torch.equal(torch.rand(1), expected)


def test_an_epoch_deals_each_image_once() -> None:
    schedule = BatchSchedule.of_epochs(images=7, batch_size=3, epochs=2)
    assert schedule.steps == 6
    dealt = [torch.cat([schedule.batch(step, 0) for step in range(first, first + 3)]).tolist() for first in (0, 3)]
    assert sorted(dealt[0]) == sorted(dealt[1]) == list(range(7)) and dealt[0] != dealt[1]


def test_images_and_maps_keep_their_place() -> None:
    views = disc_views(count=2, size=32)
    assert resize_views(views, 16).shape == (2, 3, 16, 16)
    image = torch.zeros(40, 20, 3)
    image[:20] = 1.0
    assert torch.allclose(resize_to_square(image, 20)[0, :, :9], torch.ones(3, 9, 20))
    assert resize_map(torch.eye(4), image).shape == (40, 20)
