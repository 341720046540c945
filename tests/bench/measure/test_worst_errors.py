"""The picture of the worst errors."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from bench.measure.worst_errors import (
    HEADS,
    error_rows,
    error_text,
    image_panels,
    main,
    object_square,
    worst_errors,
    write_worst_errors,
)
from evaluation.results import QueryResult, verdict_at, write_results
from report.figure import Panel
from report.page import QueryImages
from tests.bench.reports import report
from utils.errors import InputError

WHITE = (1.0, 1.0, 1.0)


def query(name: str, score: float, **values: object) -> QueryResult:
    """A result at the threshold 0.5 of the reports."""
    known = QueryResult(name, score, verdict_at(score, 0.5), True, torch.eye(4), 0.1, name.split("/")[0], p_value=0.12)
    return replace(known, **values)  # type: ignore[arg-type]


def test_errors_farthest_from_the_threshold_come_first() -> None:
    queries = [
        query("Burrs/0", 0.4), query("Burrs/1", 0.1), query("Burrs/2", 9.0), query("Burrs/3", 0.3),
        query("good/0", 1.5), query("good/1", 0.01), query("good/2", 0.6),
    ]  # fmt: skip
    made = report("pump", {}, queries)
    assert [one.name for one in worst_errors(made)] == ["Burrs/1", "good/0", "Burrs/3"]
    assert worst_errors(replace(made, queries=[*queries, query("Burrs/4", 0.0)]))[0].name == "Burrs/4"
    assert worst_errors(replace(made, queries=[queries[2], queries[5]])) == []
    with pytest.raises(InputError, match="pump must have a threshold above 0, found None"):
        worst_errors(replace(made, threshold=None))


def test_words_say_what_is_wrong_and_how_far() -> None:
    made, turned = report("pump", {}), torch.eye(4)
    cosine, sine = math.cos(math.radians(1.2)), math.sin(math.radians(1.2))
    turned[:2, :2] = torch.tensor([[cosine, -sine], [sine, cosine]])
    words = error_text(made, query("Burrs/0", 0.4), turned).split("\n")
    assert words == ["pump", "Burrs/0", "missed:", "0.80 × threshold", "p 0.12", "pose 1.20° off"]
    words = error_text(made, query("good/3", 0.7, pose_found=False, p_value=None), None).split("\n")
    assert words == ["pump", "good/3", "false alarm:", "1.40 × threshold", "pose not found"]


def test_images_are_cropped_to_a_square_around_the_object() -> None:
    image = np.full((60, 80, 3), 255, np.uint8)
    image[20:30, 30:50] = 10
    other = image.copy()
    other[28:36, 40:44] = 90
    rows, columns = object_square([image, other], torch.tensor(WHITE))
    assert (rows, columns) == (slice(17, 39), slice(29, 51))
    image[:, 78:] = 0
    assert object_square([image], torch.tensor(WHITE)) == (slice(0, 60), slice(23, 80))
    blank = np.full((60, 80, 3), 255, np.uint8)
    assert blank[object_square([blank], torch.tensor(WHITE))].shape == blank.shape


def test_colours_say_where_the_threshold_is_and_good_queries_have_no_mask() -> None:
    image = np.full((40, 40, 3), 255, np.uint8)
    image[10:30, 10:30] = 100
    anomaly_map, mask = torch.zeros(40, 40), torch.zeros(80, 80, dtype=torch.bool)
    anomaly_map[12:16, 12:16], mask[24:32, 24:32] = 3.0, True
    _, reference, heat, truth = image_panels(QueryImages(image, image, anomaly_map, mask), 3.0, WHITE)
    assert reference.image is not None and reference.image.shape[0] == reference.image.shape[1] < 26
    assert heat.image is not None and truth.image is not None and len(heat.outlines) == 1
    assert abs(heat.image[4, 4].astype(int) - (253, 141, 60)).max() < 30  # orange: the middle of the scale
    assert (truth.image[4, 4] == 255).all() and (truth.image[15, 15] < 30).all()
    assert image_panels(QueryImages(image, image, anomaly_map), 3.0, WHITE)[3].image is None


@pytest.mark.parametrize(("count", "cells"), [(1, [4, 0]), (3, [8, 4]), (8, [16, 16])])
def test_the_picture_has_the_errors_side_by_side(tmp_path: Path, count: int, cells: list[int]) -> None:
    row = [Panel(None, "pump"), *[Panel(np.full((30, 30, 3), (0, 200, 0), np.uint8))] * (len(HEADS) - 1)]
    write_worst_errors(tmp_path / "errors.png", [row] * count)
    assert [path.name for path in tmp_path.iterdir()] == ["errors.png"]
    with Image.open(tmp_path / "errors.png") as picture:
        green = (np.asarray(picture.convert("RGB")) == (0, 200, 0)).all(-1)
    assert 600 < green.shape[1] < 1600 if count > 1 else green.shape[1] < 800
    halves = np.split(green, [green.shape[1] // (2 if count > 1 else 1)], axis=1)
    assert [cv2.connectedComponents(half.astype(np.uint8))[0] - 1 if half.size else 0 for half in halves] == cells


def test_no_errors_no_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_results(tmp_path / "pump/results.json", report("pump", {}, [query("good/0", 0.1)]))
    assert error_rows(tmp_path / "pump") == []
    assert main([str(tmp_path / "pump"), "--out", str(tmp_path / "errors.png")]) == 0
    assert "no picture is written" in capsys.readouterr().out and not (tmp_path / "errors.png").exists()
    with pytest.raises(FileNotFoundError, match="no results here"):
        main([str(tmp_path / "valve"), "--out", str(tmp_path / "errors.png")])
