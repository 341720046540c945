"""``python benchmark.py --correlate``: does performance go with shape complexity and colour contrast?

The paper (arXiv:2310.07716, sections 3.2 and 3.6) says that most methods do better the higher an object's colour
contrast and the lower its shape complexity, and that OmniposeAD is robust to both. Here that is held against numbers,
the paper's own or those of a benchmark run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

from bench.config import BenchmarkConfig
from bench.correlation import LEAST, METRICS, Attribute, Correlation, Study, corrected, correlation
from bench.correlation_figures import check_matplotlib, write_heat_table, write_scatter
from bench.correlation_words import page
from bench.published import Published, read_published
from bench.runs import RunResult
from data.attributes import Contrast, attributes, measure_contrast, read_published_attributes, triangles_of
from data.mad import fingerprint
from utils.checkpoint import write_text
from utils.errors import InputError
from utils.progress import Progress

SOURCES = ("published", "results")
COLUMNS = ("value", "low", "high", "p", "holm")
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]  # metric → method → object → points, 0 to 100


def correlate(source: str, output_dir: Path, results: list[RunResult]) -> list[Path]:
    """Write the correlations of performance with the objects' attributes: tables and figures.

    Args:
        source: "published" for the paper's own table, "results" for ``results`` with attributes measured on their
            pictures and meshes.
        output_dir: gets correlations.csv, correlations.md and the figures.
        results: runs of a benchmark; not looked at with "published".
    Returns:
        The files written.
    Raises:
        InputError: where fewer than 5 objects are there, or matplotlib is not installed.
    """
    if source not in SOURCES:
        raise InputError(f"The source of correlations must be one of {', '.join(SOURCES)}, found {source!r}.")
    check_matplotlib()
    study = published_study() if source == "published" else results_study(results, output_dir)
    files = {output_dir / "correlations.csv": as_csv(study), output_dir / "correlations.md": page(study)}
    for path, text in files.items():
        write_text(path, text)
    heat = output_dir / "correlations.png"
    write_heat_table(heat, study)
    scatters = [output_dir / f"scatter_{attribute.name.replace(' ', '_')}.png" for attribute in study.attributes]
    for path, attribute in zip(scatters, study.attributes, strict=True):
        write_scatter(path, study, attribute)
    return [*files, heat, *scatters]


def published_study() -> Study:
    """The correlations in the paper's own tables."""
    published = read_published()
    scores = published_scores(published)
    everyone = dict.fromkeys(method for _, method in published.rows)
    means = sum(len(points) for points in published.printed.values())
    remarks = [
        f"The rows of the paper's table are used, an object each, and not the means that it prints, of which "
        f"{len(list(published.disagreements()))} of {means} are not those of the rows."
    ]
    for metric, methods in scores.items():
        if without := [method for method in everyone if method not in methods]:
            remarks.append(f"The paper has no {metric} of {' and '.join(without)}.")
    return study_of("the paper's own table", published_attributes(), scores, remarks)


def results_study(results: list[RunResult], output_dir: Path) -> Study:
    """The correlations of a benchmark's results with attributes measured on its objects."""
    scores = result_scores(results)
    objects = {one.run.object_name: one.run.config for one in results if one.report is not None}
    remarks = []
    if any("random" in one.report.config.get("weights", {}).values() for one in results if one.report is not None):
        remarks.append("Random weights stood in for pretrained ones: these figures say nothing about the methods.")
    return study_of("this run's results", measured_attributes(objects, output_dir), scores, remarks)


def study_of(source: str, attributes: Sequence[Attribute], scores: Scores, remarks: Sequence[str] = ()) -> Study:
    """The correlations of all attributes with all methods' scores, corrected for their number.

    Raises:
        InputError: where none can be computed.
    """
    found: list[Correlation] = []
    left_out: dict[str, int] = {}  # why → pairs
    for attribute in attributes:
        for metric, methods in scores.items():
            for method, aurocs in methods.items():
                one = correlation(attribute, metric, method, aurocs)
                if one is not None:
                    found.append(one)
                    continue
                shared = sum(name in attribute.values for name in aurocs)
                equal = "its values or the attribute's are all equal"
                few = f"it has {shared} objects with a known attribute, {LEAST} are needed"
                why = f"{method}, since {few if shared < LEAST else equal}."
                left_out[why] = left_out.get(why, 0) + 1
    told = [f"Left out: {pairs} {'pair' if pairs == 1 else 'pairs'} of {why}" for why, pairs in left_out.items()]
    if not found:
        raise InputError(
            f"Correlations need results and attributes of at least {LEAST} objects; run the benchmark on more. "
            f"{' '.join(told)}".strip()
        )
    known = {one.attribute.name for one in found}
    return Study(source, [each for each in attributes if each.name in known], corrected(found), [*remarks, *told])


def published_attributes() -> list[Attribute]:
    """What the paper prints of each object."""
    printed = read_published_attributes()
    complexity = {name: values[0] for name, values in printed.items()}
    contrast = {name: values[1] for name, values in printed.items()}
    return [Attribute("shape complexity", -1, complexity), Attribute("colour contrast", +1, contrast)]


def published_scores(published: Published) -> Scores:
    """What the paper prints of each method and object; some methods have no image AUROC."""
    scores: dict[str, dict[str, dict[str, float]]] = {metric: {} for metric in METRICS}
    for (object_name, method), points in published.rows.items():
        for metric, column in METRICS.items():
            if column in points:
                scores[metric].setdefault(method, {})[object_name] = points[column]
    return scores


def result_scores(results: Sequence[RunResult]) -> Scores:
    """The AUROCs of a benchmark in points, each the mean over the seeds that are done."""
    seeds: dict[str, dict[str, dict[str, list[float]]]] = {metric: {} for metric in METRICS}
    for result in results:
        if result.report is None:
            continue
        for metric, name in METRICS.items():
            value = getattr(result.report.evaluation.overall, name)
            if value is not None:
                methods = seeds[metric].setdefault(result.run.display_name, {})
                methods.setdefault(result.run.object_name, []).append(100.0 * value)
    return {
        metric: {
            method: {name: mean(values) for name, values in objects.items()} for method, objects in methods.items()
        }
        for metric, methods in seeds.items()
    }


def measured_attributes(objects: Mapping[str, BenchmarkConfig], output_dir: Path) -> list[Attribute]:
    """The attributes of a benchmark's objects as ``python -m data attributes`` measures them, and as the paper prints.

    Args:
        objects: object name → the config of its runs.
        output_dir: keeps the contrasts, which take seconds an object, in attributes.json.
    """
    folders = {name: Path(config.data_dir) / name for name, config in objects.items()}
    contrasts = {name: kept_contrasts(folders[name], config, output_dir) for name, config in objects.items()}
    rows = attributes({name: triangles_of(folder, None) for name, folder in folders.items()}, contrasts)
    columns = (
        ("shape complexity", -1, "shape_complexity"),
        ("colour contrast", +1, "colour_contrast"),
        ("lightness contrast", +1, "lightness_contrast"),
        ("printed shape complexity", -1, "published_complexity"),
        ("printed colour contrast", +1, "published_contrast"),
    )
    found = []
    for name, claimed, column in columns:
        values = {row.object_name: getattr(row, column) for row in rows}
        known = {each: float(value) for each, value in values.items() if value is not None}
        if known:
            found.append(Attribute(name, claimed, known))
    return found


def kept_contrasts(folder: Path, config: BenchmarkConfig, output_dir: Path) -> Contrast:
    """An object's contrast, measured where it is not kept for the same images."""
    path, images = output_dir / "attributes.json", f"{fingerprint(folder)} on {config.background}"
    kept = read_kept(path)
    if kept.get(folder.name, {}).get("images") != images:
        contrast = measure_contrast(folder, config.background_rgb, Progress(config.quiet))
        kept[folder.name] = {"images": images, "contrast": asdict(contrast)}
        write_text(path, json.dumps(kept, indent=1) + "\n")
    return Contrast(**kept[folder.name]["contrast"])


def read_kept(path: Path) -> dict[str, Any]:
    """What was measured before; nothing where there is no file."""
    if not path.is_file():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise InputError(f"{path} is not a whole record of the objects' attributes; delete it.")
    return kept


def as_csv(study: Study) -> str:
    """All correlations, one a line."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    heads = [f"{kind}_{column}" for kind in ("pearson", "spearman") for column in COLUMNS]
    writer.writerow(["attribute", "metric", "method", "objects", *heads, "slope_per_100", "slope_low", "slope_high"])
    for one in study.correlations:
        row: list[float] = []
        for each in (one.pearson, one.spearman):
            row += [each.value, *each.interval, each.p, each.holm]
        numbers = [f"{value:.6g}" for value in [*row, one.slope, *one.slope_interval]]
        writer.writerow([one.attribute.name, one.metric, one.method, len(one.objects), *numbers])
    return buffer.getvalue()
