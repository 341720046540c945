"""What the measurements write, from results that are made up."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pytest

from bench.measure import cost_shape, main_table, scores
from bench.measure.command import Cost
from evaluation.results import (
    ErrorStatistics,
    Evaluation,
    Metrics,
    ObjectReport,
    PoseMetrics,
    QueryResult,
    write_results,
)
from pipeline.config import Config
from report.figure import Panel
from utils.config import values_of
from utils.errors import InputError

ENVIRONMENT = {
    "date": "2026-01-02T03:04:05Z", "commit": "abc123", "device": "cpu", "cpu": "A chip", "cores": 2,
    "python": "3.11.1", "torch": "2.14.1",
}  # fmt: skip


def write_fake_run(argv: list[str]) -> Cost:
    """What the scripts would leave behind."""
    options = dict(itertools.pairwise(argv))
    name, training = options["--obj"], argv[0] == "anomaly_nerf_lego.py"
    if training:
        folder = Path(options["--ckpt_dir"]) / name
        folder.mkdir(parents=True)
        (folder / "training.json").write_text(json.dumps({"views": 40}))
        return Cost(12.34, 1_500_000_000)
    figures = Metrics(3, 0.98765, (0.9, 1.0), 0.8, (0.7, 0.9), 0.75, (0.5, 1.0), 0.0625, (0.0, 0.125), 0.999876, 0.9543)
    pose = PoseMetrics(1.0, ErrorStatistics(0.05, 0.2, 3.0), None, 0.99)
    queries = [
        QueryResult("good/0", 1.0, "good", True, None, 0.4, "good"),
        QueryResult("Burrs/0", 2.0, "defective", True, None, 0.6, "Burrs"),
    ]
    report = ObjectReport(
        name,
        1.5,
        Evaluation(figures, {"Burrs": figures}, pose),
        queries,
        39.876,
        {"train": 9.0},
        values_of(Config()),
        ENVIRONMENT,
    )
    write_results(Path(options["--output_dir"]) / name / "results.json", report)
    return Cost(4.5, None)


def test_main_table_says_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_table, "run_script", write_fake_run)
    page = tmp_path / "RESULTS.md"
    page.write_text("before\n")
    options = ["--page", str(page), "--dirty", "--work", str(tmp_path / "work")]
    assert main_table.main([str(tmp_path / "pump"), str(tmp_path / "valve"), *options]) == 0
    text = re.sub(" +", " ", page.read_text())
    assert text.startswith("before") and "| | pump | valve |" in text and str(tmp_path) not in text
    for line in (
        "| image AUROC | 0.988 (0.900 to 1.000) |",
        "| image AUROC, Burrs | 0.988",
        "| pixel AUROC | 0.99988 |",
        "| queries, defective + good | 3 + 1 |",
        "| poses within 1° and 0.05 | 99.0 % |",
        "| rotation error, median / p90 / max | 0.050° / 0.200° / 3.000° |",
        "| translation error, median / p90 / max | – |",
        "| training, the whole command | 12.3 s |",
        "| – gallery | – |",
        "| one query, median | 0.500 s |",
        "| peak memory, training | 1500 MB |",
        "| peak memory, test | – |",
    ):
        assert line in text
    with pytest.raises(InputError, match="pump, pump"):
        main_table.main([str(tmp_path / "a/pump"), str(tmp_path / "b/pump"), *options])


def write_sample(folder: Path, views: int) -> None:
    from data.synthetic.viewpoints import camera_at, grid_angles, spread_views

    angles, frames, poses = grid_angles(), [], {}
    for index, number in enumerate(spread_views(views)):
        path = folder / f"train/good/{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
        frames.append({"file_path": f"train/good/{index}.png", "transform_matrix": camera_at(*angles[number]).tolist()})
    for kind in cost_shape.KINDS:
        for number in range(cost_shape.DISTINCT):
            for path in (folder / f"test/{kind}/{number}.png", folder / f"ground_truth/{kind}/{number}_mask.png"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"{kind} {number}")
            poses[f"{kind}/{number}"] = number
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.69, "frames": frames}))
    (folder / "poses_truth.json").write_text(json.dumps(poses))


def test_cases_are_laid_out_from_one_sample(tmp_path: Path) -> None:
    from data.mad import list_queries
    from data.synthetic.viewpoints import spread_views

    write_sample(tmp_path / "sample", 30)
    case = cost_shape.CostCase(10, 64, 18)
    cost_shape.lay_out(case, tmp_path / "sample", tmp_path / case.name)
    pictures = sorted((tmp_path / case.name / "train/good").iterdir())
    assert sorted(int(path.read_text()) for path in pictures) == spread_views(10)
    queries = list_queries(tmp_path / case.name)
    assert len(queries) == 18 and {query.defect_type for query in queries} == set(cost_shape.KINDS)
    assert all(query.mask_path is None or query.mask_path.is_file() for query in queries)
    last = tmp_path / case.name / "ground_truth/Burrs/4_mask.png"
    assert last.read_text() == f"Burrs {4 % cost_shape.DISTINCT}"
    assert json.loads((tmp_path / case.name / "poses_truth.json").read_text())["good/4"] == 4 % cost_shape.DISTINCT


def test_each_sweep_varies_one_thing() -> None:
    argv = "--views 20 30 --sides 64 96 --queries 4 8 --base_views 30 --base_side 64"
    views, sides, queries = cost_shape.sweeps(cost_shape.cost_parser().parse_args(argv.split()))
    assert [case.views for case in views] == [20, 30] and {(case.side, case.queries) for case in views} == {(64, 4)}
    assert [case.side for case in sides] == [64, 96] and {(case.views, case.queries) for case in sides} == {(30, 4)}
    assert [case.queries for case in queries] == [4, 8] and {(case.views, case.side) for case in queries} == {(30, 64)}


def test_shape_of_the_cost_has_a_line_a_case() -> None:
    results = {"psnr": 30.0, "seconds": {"query_median": 0.25, "query_p90": 0.5}}
    point = cost_shape.CostPoint(cost_shape.CostCase(50, 400, 10), Cost(60.0, 10**9), Cost(7.0, 2 * 10**9), results)
    text = cost_shape.cost_section("goose", [[point], [point], [point]], "somewhere.")
    line = "| 50 | 400 | 10 | 60.0 s | 1000 MB | 30.0 dB | 7.0 s | 0.250 s | 0.500 s | 2000 MB |"
    assert re.sub(" +", " ", text).count(line) == 3


def test_scores_show_the_worst_errors_of_objects_that_may_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "run_script", write_fake_run)
    monkeypatch.setattr(scores, "error_rows", lambda folder: [[Panel(None, folder.name)] * 5])
    written: dict[Path, list[str]] = {}
    keep = lambda path, rows: written.update({path: [row[0].caption for row in rows]})  # noqa: E731
    monkeypatch.setattr(scores, "write_worst_errors", keep)
    page, objects = tmp_path / "docs/RESULTS.md", [str(tmp_path / name) for name in ("pump", "valve", "chair")]
    options = [*objects, "--page", str(page), "--dirty", "--scores", "calibrated", "--no_pictures", "chair"]
    assert scores.main([*options, "--work", str(tmp_path / "work")]) == 0
    assert written == {tmp_path / "docs/worst_errors.png": ["pump", "valve"]}
    assert (
        "](worst_errors.png)\n\nUp to 3 misjudged queries" in page.read_text() and "chair left out" in page.read_text()
    )
    other = tmp_path / "pictures/errors.png"
    assert scores.main([*options, "--work", str(tmp_path / "again"), "--picture", str(other)]) == 0
    assert other in written and "](../pictures/errors.png)" in page.read_text()
    with pytest.raises(InputError, match="--no_pictures must name objects among pump, valve, chair, found char"):
        scores.main([*options, "char", "--work", str(tmp_path / "third")])
