"""What holds for each of the ten methods, at tiny sizes: it finds a painted square, can be saved, and resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from baselines import training_loop
from baselines.protocol import Method
from baselines.registry import METHODS, find_method, make_method
from baselines.stfpm import STFPM
from tests.baselines.discs import disc_views, with_square
from tests.lite0 import need_lite0
from utils.errors import InputError
from utils.run_context import RunContext
from utils.weights import LITE0_NAME, Weights, fingerprint

CPU = torch.device("cpu")
TINY: dict[str, dict[str, Any]] = {
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
LOCALISING = {"PatchCore", "OCR-GAN", "FAVAE"}  # whose map shows a painted square even after next to no training
RANDOM_WEIGHTS = Weights(backbone="random")
VIEWS = disc_views(count=8, size=64)


def tiny_method(name: str, folder: Path | None = None, weights: Weights = RANDOM_WEIGHTS) -> Method:
    return make_method(name, RunContext(CPU, weights=weights, folder=folder), overrides=TINY[name])


@pytest.fixture(scope="module", params=TINY)
def trained(request: pytest.FixtureRequest) -> tuple[str, Method]:
    """Each method, trained once for all tests."""
    method = tiny_method(request.param)
    method.fit(VIEWS)
    return request.param, method


def test_all_ten_are_here() -> None:
    assert set(TINY) == {name for name in METHODS if not name.startswith("OmniposeAD")}


@pytest.mark.parametrize("name", METHODS)
def test_a_class_has_its_registered_name_and_configs(name: str) -> None:
    method = find_method(name)
    assert method.name == name
    fast = method.fast_config
    assert fast is None or (isinstance(fast, method.config_type) and fast != method.config_type())


def test_a_saved_method_predicts_the_same(trained: tuple[str, Method], tmp_path: Path) -> None:
    name, method = trained
    image = with_square(VIEWS.image(3))
    anomaly_map, score = method.predict(image)
    assert anomaly_map.shape == (64, 64) and anomaly_map.dtype == torch.float32 and anomaly_map.device.type == "cpu"
    assert torch.isfinite(anomaly_map).all() and abs(score) < float("inf")
    method.save(tmp_path)
    loaded = tiny_method(name)
    loaded.load(tmp_path)
    loaded_map, loaded_score = loaded.predict(image)
    assert torch.equal(loaded_map, anomaly_map) and loaded_score == score
    assert set(method.fingerprints().values()) <= {"random"}


@pytest.mark.parametrize("name", [name for name in TINY if name not in ("DRAEM", "OCR-GAN")])
def test_lite0_stands_in_for_each_pretrained_network(name: str, tmp_path: Path) -> None:
    need_lite0()
    weights = Weights(backbone="lite0")
    method, loaded = (tiny_method(name, weights=weights) for _ in range(2))
    method.fit(VIEWS)
    good, bad = VIEWS.image(3), with_square(VIEWS.image(3))
    anomaly_map, score = method.predict(bad)
    assert torch.isfinite(anomaly_map).all() and (anomaly_map - method.predict(good)[0]).abs().max() > 0
    (found,) = method.fingerprints().values()
    assert found == f"lite0:{fingerprint(LITE0_NAME, weights)}"
    method.save(tmp_path)
    loaded.load(tmp_path)
    assert torch.equal(loaded.predict(bad)[0], anomaly_map) and loaded.predict(bad)[1] == score
    with pytest.raises(InputError, match=r"was made with weights = .*lite0.*delete it to train again"):
        tiny_method(name).load(tmp_path)


def test_stfpms_student_has_the_stand_ins_architecture_and_none_of_its_weights() -> None:
    need_lite0()
    method = tiny_method("STFPM", weights=Weights(backbone="lite0"))
    assert isinstance(method, STFPM)
    teacher, student = method.teacher.state_dict(), method.new_network().state_dict()
    assert {name: value.shape for name, value in student.items()} == {k: v.shape for k, v in teacher.items()}
    assert not any(torch.equal(student[name], teacher[name]) for name in teacher if name.endswith("conv.weight"))
    again = method.new_network().state_dict()
    assert all(torch.equal(value, again[name]) for name, value in student.items())


def test_a_painted_square_shows(trained: tuple[str, Method]) -> None:
    name, method = trained
    good, bad = VIEWS.image(3), with_square(VIEWS.image(3))
    difference = method.predict(bad)[0] - method.predict(good)[0]
    assert difference.abs().max() > 0
    if name in LOCALISING:
        assert difference[26:38, 26:38].mean() > 2 * difference[:10].abs().mean()
        assert method.predict(bad)[1] > method.predict(good)[1]


def test_a_resumed_training_ends_with_the_same_numbers(
    trained: tuple[str, Method], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, uninterrupted = trained
    if name != "PatchCore":  # which takes no training steps
        save = training_loop.save_training_state

        def save_and_interrupt(*args: Any) -> None:
            save(*args)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training_loop, "CHECKPOINT_SECONDS", 0.0)
            patch.setattr(training_loop, "save_training_state", save_and_interrupt)
            tiny_method(name, tmp_path).fit(VIEWS)
        assert list(tmp_path.glob("*unfinished.pt"))
    resumed = tiny_method(name, tmp_path)
    resumed.fit(VIEWS)
    tensors = resumed.tensors()
    assert all(torch.equal(value, tensors[key]) for key, value in uninterrupted.tensors().items())
