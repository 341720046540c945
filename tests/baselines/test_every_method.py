"""What holds for each of the ten methods, at tiny sizes: it finds something painted in, comes back, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from baselines.protocol import Method
from baselines.registry import METHODS, find_method, make_method
from tests.baselines.pictures import painted, plain_views
from utils.run_context import RunContext
from utils.weights import Weights

CPU = torch.device("cpu")
TINY = {
    "PatchCore": {"size": 64, "crop": 64, "ratio": 0.2},
    "STFPM": {"size": 64, "epochs": 3, "batch_size": 4},
    "FastFlow": {"size": 64, "flow_steps": 2, "epochs": 4, "batch_size": 4},
    "CFlow": {"size": 64, "network": "resnet18", "blocks": 2, "epochs": 1, "vectors": 32},
    "CFA": {"size": 64, "network": "resnet18", "epochs": 1, "gamma_d": 4},
    "CutPaste": {"size": 64, "steps": 3, "batch_size": 2, "stride": 16, "samples": 16},
    "DRAEM": {"size": 64, "width": 8, "epochs": 2, "batch_size": 4},
    "FAVAE": {"size": 32, "epochs": 2, "batch_size": 4},
    "OCR-GAN": {"size": 64, "width": 8, "epochs": 2, "batch_size": 4},
    "UniAD": {"size": 64, "width": 32, "layers": 1, "feedforward": 32, "reach": 1, "epochs": 2, "drop_epoch": 1},
}
BY_PICTURE = {"PatchCore", "OCR-GAN", "FAVAE"}  # whose map shows a painted square even after next to no training
VIEWS = plain_views(count=8, size=64)


def made(name: str, folder: Path | None = None) -> Method:
    context = RunContext(CPU, weights=Weights(random=True), folder=folder)
    return make_method(name, context, overrides=TINY[name])


@pytest.fixture(scope="module", params=TINY)
def fitted(request: pytest.FixtureRequest) -> tuple[str, Method]:
    method = made(request.param)
    method.fit(VIEWS)
    return request.param, method


def test_all_ten_are_here() -> None:
    assert set(TINY) == {name for name in METHODS if not name.startswith("OmniposeAD")}


@pytest.mark.parametrize("name", METHODS)
def test_the_presets_are_configs_of_the_method(name: str) -> None:
    kind = find_method(name)[1]
    assert kind.FAST is None or (isinstance(kind.FAST, kind.Config) and kind.Config() != kind.FAST)


def test_it_gives_a_map_and_a_score_and_comes_back_from_its_file(fitted: tuple[str, Method], tmp_path: Path) -> None:
    name, method = fitted
    picture = painted(VIEWS.image(3))
    anomaly_map, score = method.predict(picture)
    assert anomaly_map.shape == (64, 64) and anomaly_map.dtype == torch.float32 and anomaly_map.device.type == "cpu"
    assert torch.isfinite(anomaly_map).all() and abs(score) < float("inf")
    method.save(tmp_path)
    again = made(name)
    again.load(tmp_path)
    known_map, known_score = again.predict(picture)
    assert torch.equal(known_map, anomaly_map) and known_score == score
    assert set(method.fingerprints().values()) <= {"random"}


def test_a_painted_square_shows(fitted: tuple[str, Method]) -> None:
    name, method = fitted
    good, bad = VIEWS.image(3), painted(VIEWS.image(3))
    difference = method.predict(bad)[0] - method.predict(good)[0]
    assert difference.abs().max() > 0
    if name in BY_PICTURE:
        assert difference[26:38, 26:38].mean() > 2 * difference[:10].abs().mean()
        assert method.predict(bad)[1] > method.predict(good)[1]


@pytest.mark.parametrize("name", [name for name in TINY if name != "PatchCore"])
def test_an_interrupted_training_ends_with_the_same_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from baselines import training

    whole = made(name, tmp_path / "whole")
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole.fit(VIEWS)
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    store, stored = training.store, []

    def store_once(*arguments: object) -> None:
        store(*arguments)  # type: ignore[arg-type]
        stored.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "store", store_once)
    with pytest.raises(KeyboardInterrupt):
        made(name, tmp_path / "parts").fit(VIEWS)
    monkeypatch.setattr(training, "store", store)
    resumed = made(name, tmp_path / "parts")
    resumed.fit(VIEWS)
    found = resumed.tensors()
    assert stored and all(torch.equal(value, found[key]) for key, value in whole.tensors().items())
