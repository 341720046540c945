"""The measurement of learning on: how an object is split, and its page."""

from __future__ import annotations

from pathlib import Path

from bench.measure.learning_on import ADDED, Confirmation, Cost, KnownSides, Outcome, State, section_of, split_object
from data.mad import list_queries
from data.transforms_file import TransformsFile
from pipeline.config import Config
from pipeline.history import Change
from tests.world import write_world
from utils.camera import Intrinsics
from utils.config import values_of

ENVIRONMENT = {"date": "2026-01-01T00:00:00Z", "commit": "abc", "cpu": "CPU", "device": "cpu", "cores": 2}


def test_the_lower_half_is_taken_away_and_a_dozen_of_it_are_photos(tmp_path: Path) -> None:
    world = write_world(tmp_path / "balls", Intrinsics.from_angle(16, 16, 0.69), queries=1)
    halves = split_object(world, tmp_path / "work")
    heights = {path.name: float(pose[2, 3]) for path, pose in zip(*poses_of(world))}
    upper, whole = ([path.name for path in poses_of(place)[0]] for place in (halves.base, halves.whole))
    photos = [path.name for path in halves.photos.iterdir()]
    assert len(upper) == 24 and len(photos) == ADDED and set(whole) == {*upper, *photos}
    assert min(heights[name] for name in upper) >= max(heights[name] for name in photos)
    new, old = ({poses_of(world)[0][row].name for row in rows} for rows in (halves.new, halves.old))
    assert not new & {*whole} and len(new) == 12 and old <= {*upper} and len(old) == 3
    assert len(list_queries(halves.base)) == 3


def poses_of(folder: Path) -> tuple[list[Path], list]:  # type: ignore[type-arg]
    cameras = TransformsFile.read(folder).cameras()
    return cameras.paths, list(cameras.camera_to_world)


def test_the_page_has_a_row_for_each_object_and_figure() -> None:
    results = {
        "environment": {**ENVIRONMENT, "python": "3", "torch": "2"},
        "config": values_of(Config()),
        "remark": "",
        "image_auroc": 0.9,
        "fpr": 0.05,
    }
    states = {
        "before": State(results, 40.0, 24.0, 0.9, Cost(25.0, 40.0)),
        "added": State(results, 40.1, 35.0, 1.0, Cost(6.0, 10.0)),
        "from nothing": State(results, 40.2, 36.0, 1.0, Cost(30.0, 50.0)),
    }
    figures = {"psnr": 39.0, "threshold": 1.5}
    change = Change(1, "add", kept=False, remark="not kept: worse", before=figures, after={**figures, "psnr": 38.5})
    known = KnownSides(9, Cost(4.0, 7.0), Cost(40.0, 50.0), change, (0.9, 0.91))
    page = section_of({"balls": Outcome(known, states, 11, Confirmation(5, 6, (2, 1), (2.0, 1.5)))})
    assert "11 of 12" in page and "0.20" in page and "6.0 s" in page
    assert "9 of 10 of known sides" in page and "0.10" in page and "0.14" in page
    assert "39.00 to 38.50" in page and "0.9000 to 0.9100" in page and "not kept: worse" in page
    assert "35.00 dB" in page and "2 of 6" in page and "1 of 6" in page and "1.50" in page
