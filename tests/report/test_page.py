"""The report page."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from report import heatmap
from report.page import QueryImages, write_report
from tests.report.reports import SCORES, make_report


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
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(images) == 3 * len(SCORES) - 1 and all(image["alt"] for image in images)
    assert "no reference" in page.text
    assert sum(tag == "path" for tag, _ in page.elements) == 2 * 3
    assert "toy <1>" in page.text and "Stains & <b>" in page.text
    assert "39.9 dB" in page.text and "0.500" in page.text


def test_the_page_needs_no_network(tmp_path: Path) -> None:
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
def test_the_page_accepts_empty_single_class_and_extreme_sets(tmp_path: Path, names: dict[str, float]) -> None:
    page, text = make_page(tmp_path, names=names)
    assert len(page.cards()) == len(names)
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().split("<script>")[0]


def test_an_interrupted_page_leaves_the_old_one(tmp_path: Path) -> None:
    _, before = make_page(tmp_path)
    report, _ = make_report()

    def broken(_name: str) -> QueryImages:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "report.html", report, broken, heatmap.HeatScale(0.0, 1.0))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before
    assert len(list(tmp_path.iterdir())) == 1


def test_images_are_read_one_by_one(tmp_path: Path) -> None:
    report, images_of = make_report()
    read: list[str] = []

    def watched(name: str) -> QueryImages:
        read.append(name)
        return images_of(name)

    write_report(tmp_path / "report.html", report, watched, heatmap.HeatScale(0.0, 1.0))
    assert sorted(read) == sorted(SCORES)


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
