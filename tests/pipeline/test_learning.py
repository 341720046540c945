"""Learning on: photos added, good parts confirmed, changes undone; interrupted anywhere, a state is old or new."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

import anomaly_nerf_lego
from nerf.settings import FieldConfig
from pipeline import grown_model, history, learning
from pipeline.config import Config
from pipeline.history import read_journal
from pipeline.methods import field_method
from pipeline.model import Model
from pipeline.record import TrainingRecord
from pipeline.training import train_object
from retrieval.settings import RetrievalConfig
from tests.mad_folder import write_picture, write_transforms
from tests.world import photo_lens, write_world
from utils.camera import Intrinsics
from utils.errors import InputError, exit_code_of

CAMERA = Intrinsics.from_angle(64, 64, 0.69)
TINY = Config(
    object_name="balls",
    field=FieldConfig(resolution=64, levels=2, steps=200, rays_per_step=2048),
    retrieval=RetrievalConfig(virtual_views=60),
    allow_bad_field=True,
    device="cpu",
    quiet=True,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object that was trained on views from above, and photos from below in a folder ``new``."""
    folder = tmp_path_factory.mktemp("learning")
    world = write_world(folder / "data/balls", CAMERA, queries=2)
    frames = json.loads((world / "transforms.json").read_text())["frames"]
    above = [frame for frame in frames if frame["transform_matrix"][2][3] > -0.1]
    for number, frame in enumerate(one for one in frames if one not in above):
        source = world / frame["file_path"]
        if number % 2:
            (folder / "new").mkdir(exist_ok=True)
            shutil.copy(source, folder / "new" / source.name)
        source.unlink()
    write_transforms(world, above, angle=0.69, photo_camera=photo_lens(CAMERA).entry())
    train_object(config_of(folder))
    return folder


@pytest.fixture
def place(trained: Path, tmp_path: Path) -> Path:
    """A copy of the object that a test may change."""
    shutil.copytree(trained, tmp_path / "copy")
    return tmp_path / "copy"


def config_of(folder: Path) -> Config:
    return replace(TINY, data_dir=str(folder / "data"), ckpt_dir=str(folder / "ckpts"), output_dir=str(folder / "out"))


def checkpoint(folder: Path) -> Path:
    return folder / "ckpts/balls"


def state_of(folder: Path) -> dict[str, bytes]:
    """Return record and results of the object's state."""
    record = TrainingRecord.read(checkpoint(folder))
    files = {step: record.file(step, checkpoint(folder)).read_bytes() for step in record.steps}
    return {"record": (checkpoint(folder) / "training.json").read_bytes(), **files}


def test_added_photos_show_what_no_view_showed_and_undo_restores_every_byte(place: Path) -> None:
    write_picture(place / "new/other.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    before, old = state_of(place), Model.load(checkpoint(place), device="cpu")
    change = learning.add(config_of(place), place / "new", note="me")
    assert change.kept and change.note == "me" and len(change.photos) == 9
    lost = [photo["name"] for photo in change.photos if photo["remark"]]
    assert "new/other" in lost and len(lost) <= 3
    assert change.after["psnr"] >= change.before["psnr"] - grown_model.WORSE_PSNR
    assert change.after["surface_seen"] > change.before["surface_seen"]
    shutil.rmtree(place / "new")  # nothing depends on it any more
    new = Model.load(checkpoint(place), device="cpu")
    assert new.record.trained_views == old.record.trained_views + 9 - len(lost)
    assert len(new.gallery.camera_to_world) > len(old.gallery.camera_to_world)
    query = place / "data/balls/test/good/0.png"
    assert new.detect(query).pose_found
    assert learning.undo(config_of(place)).number == 1
    assert state_of(place) == before
    again = Model.load(checkpoint(place), device="cpu").detect(query)
    assert again.anomaly_score == old.detect(query).anomaly_score
    assert [each.kind for each in read_journal(checkpoint(place))] == ["add", "undo"]
    with pytest.raises(InputError, match="learned nothing"):
        learning.undo(config_of(place))


@pytest.fixture
def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing counts as harm, so that changes are kept."""
    monkeypatch.setattr(grown_model, "WORSE_PSNR", 100.0)


@pytest.mark.usefixtures("harmless")
@pytest.mark.parametrize(("more_seen", "stays"), [(1.0, True), (-1.0, False)])
def test_the_surface_stays_where_nothing_new_is_seen(
    more_seen: float, stays: bool, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grown_model, "MORE_SEEN", more_seen)
    before = Model.load(checkpoint(place), device="cpu")
    assert learning.add(config_of(place), place / "data/balls/test/good").kept
    after = Model.load(checkpoint(place), device="cpu")
    old, new = before.good_parts, after.good_parts
    assert torch.equal(after.field.table, before.field.table) == stays  # type: ignore[attr-defined]
    assert len(new.values) == len(after.scorer.calibration.scores) == len(old.values) + 2
    assert (new.surface.points.shape == old.surface.points.shape) == stays
    if stays:
        assert torch.equal(new.surface.points, old.surface.points)


@pytest.mark.usefixtures("harmless")
def test_what_is_not_judged_again_is_as_it_would_be(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grown_model, "MORE_SEEN", 1.0)  # what the photos show counts as known
    method, photos, asked = field_method(TINY), place / "data/balls/test/good", []
    same = type(method).same_reference

    def states() -> list[tuple[tuple[float, ...], torch.Tensor, float | None]]:
        found = []
        for photo in sorted(photos.iterdir()):  # the second one after the first
            assert learning.add(config_of(place), alone(place, photo)).kept
            model = Model.load(checkpoint(place), device="cpu")
            found.append((model.scorer.calibration.scores, model.good_parts.values.nan_to_num(-1), model.record.psnr))
        for _ in found:
            learning.undo(config_of(place))
        return found

    def watched(*args: object, **named: object) -> bool:
        asked.append(same(*args, **named))  # type: ignore[arg-type]
        return asked[-1]

    monkeypatch.setattr(type(method), "same_reference", watched)
    quick = states()
    assert True in asked and False in asked
    monkeypatch.setattr(type(method), "same_reference", lambda *_: False)
    for (scores, values, psnr), (all_scores, all_values, all_psnr) in zip(quick, states()):
        assert scores == all_scores and torch.equal(values, all_values)
        assert psnr == pytest.approx(all_psnr, abs=1e-4)


def alone(place: Path, photo: Path) -> Path:
    """Return a folder with a single photo."""
    folder = place / f"alone_{photo.stem}"
    folder.mkdir(exist_ok=True)
    shutil.copy(photo, folder)
    return folder


def test_an_object_that_would_be_worse_stays_as_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = state_of(place)
    monkeypatch.setattr(grown_model, "WORSE_PSNR", -100.0)
    change = learning.add(config_of(place), place / "new")
    assert not change.kept and "not kept" in change.remark and state_of(place) == before
    assert not read_journal(checkpoint(place))[0].kept


def test_photos_with_poses_are_added_at_these_and_added_again_after_another_training(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learning.add(config_of(place), place / "new").kept
    train_object(replace(config_of(place), overwrite=True))
    assert "what balls has learned since it was trained is left out; --add" in capsys.readouterr().err
    aside = checkpoint(place) / "learned_before_1"
    frames = json.loads((aside / "transforms.json").read_text())["frames"]
    assert TrainingRecord.read(checkpoint(place)).learned == 0 and not (checkpoint(place) / "history").exists()
    change = learning.add(config_of(place), aside)
    assert len(change.photos) == len(frames) and not any(photo["remark"] for photo in change.photos)
    record = TrainingRecord.read(checkpoint(place))
    poses = [photo["transform_matrix"] for photo in record.photos]
    assert not change.kept or poses == [frame["transform_matrix"] for frame in frames]


def test_confirmed_photos_change_threshold_and_p_value_and_come_before_the_next(place: Path) -> None:
    old = Model.load(checkpoint(place), device="cpu").scorer.calibration
    photo = place / "data/balls/test/good/0.png"
    change = learning.confirm_good(config_of(place), [photo], whole_lot=True, note="inspector")
    new = Model.load(checkpoint(place), device="cpu").scorer.calibration
    assert len(new.confirmed) == 1 and not new.confirmed[0].selected and new.scores == old.scores
    assert new.confirmed[0].score == change.photos[0]["score"] and new.threshold != old.threshold
    assert change.after["threshold"] == new.threshold and change.before["threshold"] == old.threshold
    learning.confirm_good(config_of(place), [photo])
    assert len(Model.load(checkpoint(place), device="cpu").scorer.calibration.confirmed) == 2
    for _ in range(2):
        learning.undo(config_of(place))
    assert Model.load(checkpoint(place), device="cpu").scorer.calibration == old


def test_interrupted_at_any_rename_the_object_is_in_its_old_or_its_new_state(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, photo = state_of(place), place / "data/balls/test/good/0.png"
    rename, seen = Path.replace, set()
    for fatal in range(12):
        count = 0

        def counted(source: Path, target: Path, fatal: int = fatal) -> Path:
            nonlocal count
            count += 1
            if count == fatal + 1:
                raise KeyboardInterrupt  # nothing after it runs, as after kill -9
            return rename(source, target)

        with monkeypatch.context() as broken:
            broken.setattr(Path, "replace", counted)
            try:
                learning.confirm_good(config_of(place), [photo])
                break
            except KeyboardInterrupt:
                pass
        learned = TrainingRecord.read(checkpoint(place)).learned
        seen.add(learned)
        assert len(Model.load(checkpoint(place), device="cpu").scorer.calibration.confirmed) == learned
        if learned:
            learning.undo(config_of(place))
        assert state_of(place) == before
    assert seen == {0, 1} and count < 12
    kinds = [change.kind for change in read_journal(checkpoint(place))]
    assert kinds == [*["confirm_good", "undo"] * (len(kinds) // 2), "confirm_good"]  # none is missing


def test_an_interrupted_undo_is_written_into_the_journal_later(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = place / "data/balls/test/good/0.png"
    learning.confirm_good(config_of(place), [photo])
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        broken.setattr(history, "append_change", stop)
        learning.undo(config_of(place))
    learning.confirm_good(config_of(place), [photo])
    assert [each.kind for each in read_journal(checkpoint(place))] == ["confirm_good", "undo", "confirm_good"]


def test_old_states_go_where_they_take_too_much_space(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = place / "data/balls/test/good/0.png"
    monkeypatch.setattr(history, "MAX_BYTES", 0)
    for _ in range(3):
        learning.confirm_good(config_of(place), [photo])
    assert "removed to save space" in capsys.readouterr().err
    learning.undo(config_of(place))
    with pytest.raises(InputError, match="removed to save space; it cannot be undone"):
        learning.undo(config_of(place))
    assert Model.load(checkpoint(place), device="cpu").record.learned == 2


def test_another_process_is_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "WAIT", 0.05)
    with FileLock(str(checkpoint(place) / ".learning.lock")), pytest.raises(InputError, match="Another process"):
        learning.undo(config_of(place))


def test_what_cannot_be_added_is_said(place: Path) -> None:
    shutil.rmtree(place / "new")
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    write_picture(place / "new/0.png", noise)
    with pytest.raises(InputError, match="The pose of none of the 1 photos"):
        learning.add(config_of(place), place / "new")
    with pytest.raises(InputError, match="There is no trained object"):
        learning.add(replace(config_of(place), object_name="pump"), place / "new")
    shutil.copy(place / "data/balls/train/good/20.png", place / "data/balls/train/good/21.png")
    with pytest.raises(InputError, match="are not those of the training"):
        learning.add(config_of(place), place / "new")


def test_the_command_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = {"--data_dir": "data", "--ckpt_dir": "ckpts", "--output_dir": "out"}
    paths = [word for key, name in folders.items() for word in (key, str(place / name))]
    argv = [*paths, "--obj", "balls", "--device", "cpu"]
    photo = str(place / "data/balls/test/good/0.png")
    assert anomaly_nerf_lego.main([*argv, "--learned"]) == 0
    assert anomaly_nerf_lego.main([*argv, "--confirm_good", photo, "--whole_lot", "--note", "inspector"]) == 0
    assert anomaly_nerf_lego.main([*argv, "--undo"]) == 0
    assert anomaly_nerf_lego.main([*argv, "--learned"]) == 0
    said = capsys.readouterr().out
    assert "has learned nothing" in said and "1 photos confirmed as good; threshold" in said
    assert "change 1 is undone" in said and "inspector" in said and "confirm_good" in said.splitlines()[-2]
    assert exit_code_of(lambda: anomaly_nerf_lego.main([*argv, "--masks", "auto"])) == 2
    assert "belong to --add" in capsys.readouterr().err
