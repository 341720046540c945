"""The report page, its heat maps and charts, and the panels figure."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.metrics import evaluate
from evaluation.results import ObjectReport, QueryResult, verdict_at
from report import charts, heatmap
from report.figure import Panel, image_grid, representative_queries, write_panels
from report.page import ImagesOf, QueryImages, write_report

HEIGHT, WIDTH = 30, 40
SCORES = {"good/0": 0.1, "good/2": 0.2, "good/10": 0.8, "Burrs/0": 0.3, "Burrs/1": 0.9, "Stains & <b>/0": 0.7}


def make_report(labelled: bool = True, names: dict[str, float] = SCORES) -> tuple[ObjectReport, ImagesOf]:
    rename = {name if labelled else f"photo {index}": name for index, name in enumerate(names)}
    queries = [
        QueryResult(
            name=shown,
            anomaly_score=names[name],
            verdict=verdict_at(names[name], 0.5),
            pose_found=name != "Burrs/1",
            camera_to_world=torch.eye(4),
            seconds=0.2,
            defect_type=name.split("/")[0] if labelled else None,
        )
        for shown, name in rename.items()
    ]

    def images_of(shown: str) -> QueryImages:
        name = rename[shown]
        generator = torch.Generator().manual_seed(len(name))
        picture = (torch.rand(HEIGHT, WIDTH, 3, generator=generator) * 255).byte().numpy()
        anomaly_map = torch.zeros(HEIGHT, WIDTH)
        anomaly_map[5:12, 8:20] = names[name]
        reference = None if name == "Burrs/1" else picture
        return QueryImages(
            picture, reference, anomaly_map, anomaly_map > 0 if labelled and "good" not in name else None
        )

    report = ObjectReport(
        object_name="toy <1>",
        threshold=0.5,
        evaluation=evaluate(queries, 0.5),
        queries=tuple(queries),
        psnr=39.876,
        seconds={"train": 20.0},
        config={"image_size": 400},
    )
    return report, images_of


class Page(HTMLParser):
    """What the page consists of, and whether its elements close in order."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def cards(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == "li" and "data-score" in attributes]


def make_page(folder: Path, labelled: bool = True, names: dict[str, float] = SCORES) -> tuple[Page, str]:
    report, images_of = make_report(labelled, names)
    write_report(folder / "report.html", report, images_of)
    text = (folder / "report.html").read_text(encoding="utf-8")
    return Page(text), text


def test_the_page_holds_every_query_with_its_verdict_and_judgement(tmp_path: Path) -> None:
    page, _ = make_page(tmp_path)
    assert page.open == []
    cards = {card["data-name"]: card for card in page.cards()}
    assert set(cards) == set(SCORES)
    assert [card["data-score"] for card in page.cards()] == ["0.9", "0.8", "0.7", "0.3", "0.2", "0.1"]
    assert "missed defect" in (cards["Burrs/0"]["aria-label"] or "")
    assert "false alarm" in (cards["good/10"]["aria-label"] or "")
    assert "pose not found" in (cards["Burrs/1"]["aria-label"] or "")
    assert [name for name, card in cards.items() if card["data-wrong"] == "1"] == ["good/10", "Burrs/0"]
    assert int(cards["good/2"]["data-place"] or 0) < int(cards["good/10"]["data-place"] or 0)
    assert [card["tabindex"] for card in page.cards()] == ["0", "-1", "-1", "-1", "-1", "-1"]
    pictures = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) == 3 * len(SCORES) - 1 and all(picture["alt"] for picture in pictures)
    assert "no reference" in page.text
    assert sum(tag == "path" for tag, _ in page.elements) == 2 * 3
    assert "toy <1>" in page.text and "Stains & <b>" in page.text
    assert "39.9 dB" in page.text and "0.500" in page.text


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page, text = make_page(tmp_path)
    for _, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#"))
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest", text)


def test_the_page_works_without_ground_truth(tmp_path: Path) -> None:
    page, _ = make_page(tmp_path, labelled=False)
    assert len(page.cards()) == len(SCORES)
    assert sum(tag == "path" for tag, _ in page.elements) == 0
    for word in ("AUROC", "missed", "false alarm", "correct", "Mask outline"):
        assert word not in page.text
    assert "3 defective" in page.text and "3 good" in page.text


@pytest.mark.parametrize("names", [{}, {"good/0": 0.0}, {"Burrs/0": -3.0}, {"good/0": 1e-9, "good/1": 1e9}])
def test_the_page_bears_empty_single_class_and_extreme_sets(tmp_path: Path, names: dict[str, float]) -> None:
    page, text = make_page(tmp_path, names=names)
    assert len(page.cards()) == len(names)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split("<script>")[0]


def test_an_interrupted_page_leaves_the_old_one(tmp_path: Path) -> None:
    _, before = make_page(tmp_path)
    report, _ = make_report()

    def broken(name: str) -> QueryImages:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "report.html", report, broken, heatmap.HeatScale(0.0, 1.0))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert len(list(tmp_path.iterdir())) == 1


def test_pictures_are_asked_for_one_by_one(tmp_path: Path) -> None:
    report, images_of = make_report()
    asked: list[str] = []

    def watched(name: str) -> QueryImages:
        asked.append(name)
        return images_of(name)

    write_report(tmp_path / "report.html", report, watched, heatmap.HeatScale(0.0, 1.0))
    assert sorted(asked) == sorted(SCORES)


def test_heat_scale_is_twice_what_good_queries_reach() -> None:
    report, images_of = make_report()
    scale = heatmap.heat_scale(report.queries, lambda name: images_of(name).anomaly_map)
    assert scale.low == 0.0
    assert scale.usual == pytest.approx(np.quantile([0.1, 0.2, 0.3], 0.95))
    assert scale.high == pytest.approx(2 * scale.usual)
    flat = heatmap.heat_scale(report.queries, lambda name: torch.ones(4, 4))
    assert flat.high > flat.low


def test_heat_leaves_the_grey_picture_where_nothing_is_and_covers_it_where_much_is() -> None:
    picture = np.full((4, 4, 3), (200, 100, 0), np.uint8)
    anomaly_map = torch.zeros(4, 4)
    anomaly_map[1, 2] = 5.0
    shown = heatmap.heat_overlay(picture, anomaly_map, heatmap.HeatScale(0.0, 1.0)).astype(int)
    assert (shown[0, 0] == 162).all()
    assert shown[1, 2, 0] > shown[1, 2, 1] + 60
    anchors = heatmap.heat_colours(np.array([-1.0, 0.0, 1.0, 2.0]))
    assert (anchors[0] == anchors[1]).all() and (anchors[2] == anchors[3]).all()
    assert (anchors[1] == heatmap.ANCHORS[0]).all() and (anchors[2] == heatmap.ANCHORS[-1]).all()


def test_an_outline_surrounds_its_part_closely() -> None:
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[30:40, 50:70] = True
    (outline,) = heatmap.outlines(mask)
    low, high = outline.min(axis=0), outline.max(axis=0)
    assert (low <= [50, 30]).all() and (high >= [70, 40]).all()
    assert (low >= [48, 28]).all() and (high <= [72, 42]).all()


def test_roc_chart_needs_both_classes_and_histogram_counts_every_query() -> None:
    scores = {"good": np.array([0.1, 0.2]), "Burrs": np.array([0.3, 0.9])}
    assert charts.roc_chart({"good": scores["good"]}, 0.5) is None
    assert charts.roc_chart({"Burrs": scores["Burrs"]}, 0.5) is None
    x, y = charts.roc_points(scores["Burrs"], scores["good"])
    assert np.trapezoid(y, x) == pytest.approx(1.0)
    histogram = charts.histogram_chart(scores, 0.5)
    assert histogram is not None and histogram.count("<rect") == 4
    edges, logarithmic = charts.score_edges(np.array([0.01, 10.0]), 0.5)
    assert logarithmic and edges[0] < 0.01 and edges[-1] > 10
    edges, logarithmic = charts.score_edges(np.array([-5.0, 10.0]), 20.0)
    assert not logarithmic and edges[0] < -5 and edges[-1] > 20
    assert charts.histogram_chart({"good": np.array([])}, 0.5) is None


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


CHECK = """
<script>addEventListener("load", () => {
  const log = [], press = (key) => (document.querySelector("dialog[open]") || document.activeElement)
    .dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
  const at = () => document.activeElement.dataset.name, set = (id, value) => {
    const chooser = document.getElementById(id); chooser.value = value; chooser.dispatchEvent(new Event("change")); };
  const shown = () => [...document.querySelectorAll(".card:not([hidden])")].map((card) => card.dataset.name).join();
  document.querySelector('.card[tabindex="0"]').focus();
  log.push(at()); press("ArrowRight"); log.push(at()); press("End"); log.push(at()); press("Home"); log.push(at());
  press("Enter"); log.push(document.querySelector("dialog").open); press("ArrowRight");
  log.push(document.getElementById("large-place").textContent);
  document.getElementById("close").click();
  set("sort", "name"); log.push(shown()); set("show", "wrong"); log.push(shown());
  set("kind", "Burrs"); log.push(shown()); press("m"); log.push(document.body.className);
  const result = document.createElement("pre"); result.id = "log"; result.textContent = JSON.stringify(log);
  document.body.append(result);
});</script></body>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_sorting_filtering_and_the_keyboard_in_a_browser(tmp_path: Path) -> None:
    names = {name: score for name, score in SCORES.items() if "<" not in name}
    _, text = make_page(tmp_path, names=names)
    (tmp_path / "check.html").write_text(text.replace("</body>", CHECK), encoding="utf-8")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += " --disable-component-update --disable-sync --virtual-time-budget=2000 --dump-dom"
    command = [
        "chromium",
        *options.split(),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"file://{tmp_path / 'check.html'}",
    ]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="log">(.*?)</pre>', answer.stdout)
    assert found is not None, answer.stderr[-2000:]
    assert found.group(1) == (
        '["Burrs/1","good/10","good/0","Burrs/1",true,"2 of 5",'
        '"Burrs/0,Burrs/1,good/0,good/2,good/10","Burrs/0,good/10","Burrs/0","no-outline"]'
    )
