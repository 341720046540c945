from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from data.settings import RobustnessConfig
from pipeline.config import Config
from pipeline.record import STEP_FILES, TrainingRecord, check_trained, step_fingerprints
from retrieval.settings import RetrievalConfig
from scoring.settings import ScoreConfig
from utils.camera import Intrinsics
from utils.errors import InputError

CONFIG = Config(object_name="pump")


def changed_steps(config: Config, data: str = "data") -> list[str]:
    before, after = step_fingerprints(CONFIG, "data"), step_fingerprints(config, data)
    return [step for step in before if before[step] != after[step]]


def test_a_change_redoes_the_steps_that_depend_on_it() -> None:
    assert changed_steps(CONFIG) == []
    assert changed_steps(CONFIG, "other data") == ["field", "gallery", "calibration", "parts"]
    assert changed_steps(replace(CONFIG, image_size=200)) == ["field", "gallery", "calibration", "parts"]
    assert changed_steps(replace(CONFIG, retrieval=RetrievalConfig(hypotheses=2))) == [
        "gallery",
        "calibration",
        "parts",
    ]
    assert changed_steps(replace(CONFIG, score=ScoreConfig(false_positive_rate=0.2))) == ["calibration", "parts"]
    assert changed_steps(replace(CONFIG, quiet=True, device="cpu", output_dir="x", data_dir="y")) == []


def test_record_round_trip(tmp_path: Path) -> None:
    camera = Intrinsics.from_angle(40, 30, 0.7)
    record = TrainingRecord({"field": "a"}, "data", 9, asdict(camera), 30.5, 10.0, {"train": 1.0}, {"cores": 2})
    record.write(tmp_path)
    assert TrainingRecord.read(tmp_path) == record and TrainingRecord.read(tmp_path).camera() == camera
    assert not record.done("field", "a", tmp_path)
    (tmp_path / STEP_FILES["field"]).touch()
    assert record.done("field", "a", tmp_path) and not record.done("field", "b", tmp_path)


def test_no_record_is_an_empty_one_and_a_broken_one_an_error(tmp_path: Path) -> None:
    assert TrainingRecord.read(tmp_path) == TrainingRecord()
    (tmp_path / "training.json").write_text('{"steps": {')
    with pytest.raises(InputError, match=r"training\.json is not a whole record"):
        TrainingRecord.read(tmp_path)


def test_unfinished_training_and_other_settings_are_told() -> None:
    record = TrainingRecord(steps=step_fingerprints(CONFIG, "data"), data="data")
    check_trained(replace(CONFIG, seed=3, quiet=True), CONFIG, record)
    with pytest.raises(InputError, match="trained with image_size = 0, found 200"):
        check_trained(replace(CONFIG, image_size=200), CONFIG, record)
    with pytest.raises(InputError, match="not finished"):
        check_trained(CONFIG, CONFIG, replace(record, steps={"field": record.steps["field"]}))


def test_the_choice_of_views_matters_and_disturbed_queries_do_not() -> None:
    for study in (RobustnessConfig(view_split="uniform"), RobustnessConfig(view_split="few_shot")):
        assert changed_steps(replace(CONFIG, robustness=study)) == ["field", "gallery", "calibration", "parts"]
    for study in (
        RobustnessConfig(noise="salt"),
        RobustnessConfig(delta_brightness=0.2),
        RobustnessConfig(view_fraction=0.4),
    ):
        assert changed_steps(replace(CONFIG, robustness=study)) == []
    shares = [RobustnessConfig(view_split="published", view_fraction=share) for share in (0.1, 0.2)]
    first, second = (step_fingerprints(replace(CONFIG, robustness=study), "data") for study in shares)
    assert first["field"] != second["field"]
