"""Grids of images and the panels figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from report.figure import Panel, image_grid, representative_queries, write_panels
from tests.report.reports import make_report


def test_panels_show_the_typical_and_the_hardest_of_each_type(tmp_path: Path) -> None:
    report, images_of = make_report()
    chosen = [query.name for query in representative_queries(report.queries)]
    assert chosen == ["Burrs/1", "Burrs/0", "Stains & <b>/0", "good/2", "good/10"]
    write_panels(tmp_path / "labelled.png", report, images_of)
    write_panels(tmp_path / "plain.png", *make_report(labelled=False))
    with Image.open(tmp_path / "labelled.png") as labelled, Image.open(tmp_path / "plain.png") as plain:
        assert labelled.height > 1.2 * plain.height  # by the row of ground truth
        assert np.asarray(labelled).std() > 10


def test_a_grid_has_its_titles_captions_outlines_and_empty_cells() -> None:
    image = np.full((6, 12, 3), 200, np.uint8)
    line = np.array([[1.0, 1.0], [4.0, 1.0], [4.0, 4.0]])
    rows = [[Panel(image, "score 2", mistaken=True), Panel(None, "none")], [Panel(image, "fine", outlines=[line])] * 2]
    figure = image_grid(rows, ["above", "below"], ["left", "a very long title of a query/12"])
    first, empty, *others = figure.axes
    assert first.get_title() == "left" and empty.get_title() == "… long title of a query/12"
    assert [axis.get_ylabel() for axis in (first, empty, *others)] == ["above", "", "below", ""]
    assert first.get_xlabel() == "score 2" and first.xaxis.label.get_color() != others[0].xaxis.label.get_color()
    assert empty.texts[0].get_text() == "none" and not empty.images
    assert [len(axis.patches) for axis in (first, *others)] == [0, 1, 1]
    assert figure.get_figwidth() > figure.get_figheight()
