"""What each change to the paper's method buys: every field x retrieval x refinement x score on one object.

    python benchmarks/ablation.py --data_dir data/samples --obj windmill --work ablation

takes every option of ``anomaly_nerf_lego.py``. Each pose search (field, retrieval, refinement) is a file in the folder
``--work``, and is not done again; both scores are taken of the same references.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from auroc_test import Faultless
    from data.mad import Query
    from scoring.scorers import Scorer
    from utils.config import Config
    from utils.progress import Progress
    from utils.rendering import Field
    from utils.results import Detection, ObjectReport
    from utils.views import Views

SEARCH = ("field", "retrieval", "refine")
NONE = "–"
HEAD = (
    *("field", "retrieval", "refinement", "score", "image AUROC", "pixel AUROC", "AUPRO"),
    *("rotation", "≤ 1°", "s/query"),
)


def main(arguments: list[str]) -> int:
    """Measure all combinations on the object that the command line names; returns the exit code."""
    from benchmarks.page import PAGE, circumstances, write_section
    from utils.options import find_name, make_parser, parse, values_of
    from utils.progress import Progress

    parser = make_parser("Every field, retrieval, refinement and score on one object: figures and seconds.")
    parser.add_argument("--work", type=Path, required=True, help="folder for fields and results; what is there stays")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to write (default: benchmarks/RESULTS.md)")
    parser.add_argument("--readme", type=Path, help="page with marks, for the rows one swap away from either path")
    config, own, _ = parse(parser, arguments)
    find_name(config)
    reports = measure(config, own.work, Progress(config.quiet))
    body = section(reports, circumstances(reports[0].environment, values_of(config)))
    write_section(own.page, "ablation", body)
    if own.readme:
        write_section(own.readme, "ablation", table([report for report in reports if nearly_pure(report)]))
    print(body)
    return 0


def choices_of(key: str) -> tuple[str, ...]:
    """What a setting can be, as its type says."""
    from typing import get_args

    from utils.options import options

    return get_args(next(option.type for option in options() if option.key == key))


def chosen(config: Config, *methods: str) -> Config:
    """The settings with a method for each of field, retrieval, refinement and score; iNeRF gets one coarse pose."""
    field, retrieval, refine, score = methods
    hypotheses = 1 if refine == "adam" else config.retrieval.hypotheses
    return replace(
        config,
        field=replace(config.field, method=field),  # type: ignore[arg-type]
        retrieval=replace(config.retrieval, method=retrieval, hypotheses=hypotheses),  # type: ignore[arg-type]
        refine=replace(config.refine, method=refine),  # type: ignore[arg-type]
        score=replace(config.score, method=score),  # type: ignore[arg-type]
    )


def measure(config: Config, work: Path, progress: Progress) -> list[ObjectReport]:
    """All combinations, from the files of ``work`` where they are there."""
    from data.mad import list_queries, load_views
    from utils.results import read_results, write_results
    from utils.training_record import hash_of, step_settings
    from utils.views import split_held_out

    views = load_views(config.object_dir, config.image_size, config.background_rgb)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.held_out_every))
    queries = list_queries(config.object_dir)
    reports = []
    for search in itertools.product(*(choices_of(key) for key in SEARCH)):
        settings = [chosen(config, *search, score) for score in choices_of("score")]
        prints = [hash_of([config.object_name, len(queries), step_settings(one)])[:8] for one in settings]
        paths = [work / f"{'-'.join(search)}-{one.score.method}-{print_}.json" for one, print_ in zip(settings, prints)]
        if not all(path.is_file() for path in paths):
            model, scorers = prepare(settings, train, held_out, work, progress)
            for path, report in zip(paths, find_and_score(model, scorers, queries, settings, progress)):
                write_results(path, report)
        reports += [read_results(path) for path in paths]
    return reports


def prepare(
    settings: list[Config], train: Views, held_out: Views, work: Path, progress: Progress
) -> tuple[Faultless, list[Scorer]]:
    """The object with its field and gallery, and a scorer for each of ``settings``, which differ in nothing else."""
    from auroc_test import Faultless
    from retrieval import galleries
    from scoring import scorers
    from utils.device import pick_device

    config, device = settings[0], pick_device(settings[0].device)
    field = trained_field(config, train, work, progress)
    gallery = galleries.build(train, field.render, config, device, progress)
    pairs = []
    for index in range(len(held_out)):
        reference = field.render(held_out.camera_to_world[index], held_out.intrinsics)
        pairs.append((held_out.image(index).to(device), reference))
    model = Faultless(config, train.intrinsics, device, field, gallery)
    return model, [scorers.calibrate(pairs, one, device) for one in settings]


def trained_field(config: Config, train: Views, work: Path, progress: Progress) -> Field:
    """The field of ``work``, trained where there is none yet."""
    from nerf import fields
    from utils.device import pick_device
    from utils.training_record import hash_of, step_settings

    device = pick_device(config.device)
    settings = hash_of([config.object_name, step_settings(config)["field"]])[:8]
    path = work / f"field-{config.field.method}-{settings}.safetensors"
    if not path.is_file():
        fields.train(train, config, device, path.with_suffix(".unfinished.safetensors"), progress).save(path)
    return fields.load(path, device)


def find_and_score(
    model: Faultless, scorers: list[Scorer], queries: list[Query], settings: list[Config], progress: Progress
) -> list[ObjectReport]:
    """Poses and references of all queries, found once, and what each scorer makes of them."""
    from auroc_test import find_reference, read_query
    from utils.results import Detection, verdict_at
    from utils.stopwatch import Stopwatch

    detections: list[list[Detection]] = [[] for _ in scorers]
    maps: list[dict[str, Tensor]] = [{} for _ in scorers]
    for query in progress.track(queries, " ".join(getattr(model.config, key).method for key in SEARCH)):
        picture, clock = read_query(query.path, model), Stopwatch(model.device)
        pose, found, reference = find_reference(picture, query.name, model, clock)
        for scorer, done, kept in zip(scorers, detections, maps):
            own = Stopwatch(model.device)
            with own.stage("compare"):
                kept[query.name], score = scorer.compare(picture, reference)
            stages = {**clock.seconds, **own.seconds}
            verdict, seconds = verdict_at(score, scorer.threshold), sum(stages.values())
            done.append(Detection(query.name, score, verdict, found, pose.cpu(), seconds, query.kind, stages))
    return [report_of(*each, queries) for each in zip(settings, scorers, detections, maps)]


def report_of(
    config: Config, scorer: Scorer, detections: list[Detection], maps: dict[str, Tensor], queries: list[Query]
) -> ObjectReport:
    """The figures of one combination."""
    from data.mad import read_true_poses
    from utils.device import pick_device
    from utils.environment import environment
    from utils.images import read_mask
    from utils.metrics import evaluate
    from utils.options import values_of
    from utils.results import ObjectReport

    masks = {query.name: query.mask_path for query in queries if query.mask_path is not None}
    truth = read_true_poses(config.object_dir)
    evaluation = evaluate(
        detections, scorer.threshold, maps.__getitem__, lambda name: read_mask(masks[name]), truth, config.seed
    )
    return ObjectReport(
        object_name=config.object_name,
        threshold=scorer.threshold,
        evaluation=evaluation,
        queries=detections,
        config=values_of(config),
        environment=environment(pick_device(config.device)),
    )


def nearly_pure(report: ObjectReport) -> bool:
    """Whether at most one box differs from the default path, or from the paper's."""
    from benchmarks.paper_vs_fast import PAPER
    from utils.config import Config
    from utils.options import file_values, values_of

    keys = (*SEARCH, "score")
    default = values_of(Config())
    paper = {**default, **file_values(PAPER)[0]}
    return any(sum(report.config[key] != pure[key] for key in keys) <= 1 for pure in (default, paper))


def table(reports: Sequence[ObjectReport]) -> str:
    """The rows, and a remark where random weights stood in."""
    from benchmarks.page import markdown_table

    lines = [row(report) for report in reports]
    remark = next((report.remark for report in reports if report.remark), "")
    return markdown_table(HEAD, lines) + (f"\n\n\\* {remark}" if remark else "")


def row(report: ObjectReport) -> list[str]:
    """A combination's line."""
    from utils.results import query_seconds, remark_on

    overall, pose = report.evaluation.overall, report.evaluation.pose
    settings = report.config
    alone = {"random_weights": settings["random_weights"]}
    stars = {key: "\\*" if remark_on({**alone, key: settings[key]}) else "" for key in ("retrieval", "score")}
    seconds = query_seconds(report.queries)["query_median"]
    return [
        settings["field"],
        settings["retrieval"] + stars["retrieval"],
        settings["refine"],
        settings["score"] + stars["score"],
        f"{overall.image_auroc:.3f}",
        f"{overall.pixel_auroc:.4f}",
        f"{overall.aupro:.3f}",
        f"{pose.rotation_deg.median:.2f}°" if pose.rotation_deg else NONE,
        f"{100 * pose.within:.0f} %" if pose.within is not None else NONE,
        f"{seconds:.2f}",
    ]


def interval(report: ObjectReport) -> str:
    """The interval of the image AUROC."""
    low, high = report.evaluation.overall.image_auroc_ci or (math.nan, math.nan)
    return f"{low:.2f} to {high:.2f}"


def section(reports: Sequence[ObjectReport], where: str) -> str:
    """The section's Markdown."""
    several = next(report.config["retrieval_hypotheses"] for report in reports if report.config["refine"] != "adam")
    return (
        f"## Ablation\n\n`python benchmarks/ablation.py` on {reports[0].object_name}, {len(reports[0].queries)} "
        f"queries: {where}\n\n{table(reports)}\n\n"
        "Rotation: median error; ≤ 1°: share of poses within 1° and 0.05 units; s/query: median of all stages. iNeRF "
        f"(adam) starts from one coarse pose, as in the paper, Gauss-Newton from {several}. The queries are few: the "
        f"95 % interval of the first row's image AUROC is {interval(reports[0])}."
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from utils.errors import exit_code_of

    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
