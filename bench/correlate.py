"""``python benchmark.py --correlate``: does performance go with shape complexity and colour contrast?

The paper (arXiv:2310.07716, sections 3.2 and 3.6) says that most methods do better the higher an object's colour
contrast and the lower its shape complexity, and that OmniposeAD is robust to both. The correlations are those of the
paper's own numbers, or of a benchmark's results.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.config import BenchmarkConfig
from bench.correlation import METRICS, MIN_OBJECTS, RESAMPLES, Attribute, CorrelationStudy, Scores, correlation_table
from bench.correlation_figures import write_heat_table, write_scatter
from bench.frame import results_frame, scores_by_object
from bench.published import Published, read_published
from bench.runs import RunResult
from bench.tables import NOTES, RANDOM_MARK
from bench.typeset import Table, as_markdown
from data.attributes import Contrast, attributes, measure_contrast, read_published_attributes, triangles_of
from data.mad import views_fingerprint
from utils.checkpoint import write_text
from utils.errors import InputError
from utils.progress import Progress


def correlate(source: str, output_dir: Path, results: list[RunResult]) -> list[Path]:
    """Write the correlations of performance with the objects' attributes: tables and figures.

    Args:
        source: "published" for the paper's own table, "results" for ``results`` with attributes measured on their
            images and meshes.
        output_dir: gets correlations.csv, correlations.md and the figures.
        results: of a benchmark's runs; not read with "published".
    Returns:
        The files written.
    Raises:
        InputError: where fewer than 5 objects are known.
    """
    study = published_study() if source == "published" else results_study(results, output_dir)
    csv, text, heat = (output_dir / f"correlations.{ending}" for ending in ("csv", "md", "png"))
    write_text(csv, study.table.to_csv(index=False, float_format="%.6g"))
    write_text(text, as_markdown(as_table(study)))
    write_heat_table(heat, study)
    scatters = [output_dir / f"scatter_{attribute.name.replace(' ', '_')}.png" for attribute in study.attributes]
    for path, attribute in zip(scatters, study.attributes, strict=True):
        write_scatter(path, study, attribute)
    return [csv, text, heat, *scatters]


def published_study() -> CorrelationStudy:
    """Return the correlations in the paper's own tables."""
    published = read_published()
    wrong = published.disagreements().to_numpy()
    remarks = [
        f"The rows of the paper's table are used, an object each, and not the means that it prints, of which "
        f"{wrong.sum()} of {published.printed.notna().to_numpy().sum()} are not those of the rows."
    ]
    scores = published_scores(published)
    for metric, methods in scores.items():
        if without := [method for method in published.printed.index if method not in methods]:
            remarks.append(f"The paper has no {metric} of {' and '.join(without)}.")
    return study_of("the paper's own table", published_attributes(), scores, remarks)


def results_study(results: list[RunResult], output_dir: Path) -> CorrelationStudy:
    """Return the correlations of a benchmark's results with attributes measured on its objects."""
    frame = results_frame(results)
    objects = {one.run.object_name: one.run.config for one in results if one.report is not None}
    remarks = [NOTES[RANDOM_MARK]] if frame["random_weights"].any() else []
    return study_of("this run's results", measured_attributes(objects, output_dir), result_scores(frame), remarks)


def study_of(
    source: str, attributes: Sequence[Attribute], scores: Scores, remarks: Sequence[str] = ()
) -> CorrelationStudy:
    """Return the correlations of all attributes with all methods' scores.

    Raises:
        InputError: where none can be computed.
    """
    table, left_out = correlation_table(attributes, scores)
    if table.empty:
        raise InputError(
            f"Correlations need results and attributes of at least {MIN_OBJECTS} objects; run the benchmark on more. "
            f"{' '.join(left_out)}".strip()
        )
    known = [each for each in attributes if each.name in set(table["attribute"])]
    return CorrelationStudy(source, known, scores, table, [*remarks, *left_out])


def published_attributes() -> list[Attribute]:
    """Return what the paper prints of each object."""
    printed = read_published_attributes()
    complexity = {name: values[0] for name, values in printed.items()}
    contrast = {name: values[1] for name, values in printed.items()}
    return [Attribute("shape complexity", -1, complexity), Attribute("colour contrast", +1, contrast)]


def published_scores(published: Published) -> Scores:
    """Return what the paper prints of each method and object; some methods have no image AUROC."""
    tables = {metric: published.rows[column].dropna() for metric, column in METRICS.items()}
    return {
        metric: {method: table.xs(method, level="method").to_dict() for method in table.index.unique("method")}
        for metric, table in tables.items()
    }


def result_scores(frame: pd.DataFrame) -> Scores:
    """Return the AUROCs of a benchmark in points, each the mean over the seeds that are done."""
    return {
        metric: {
            method: {name: 100.0 * value for name, value in objects.items()}
            for method, objects in scores_by_object(frame, column).items()
            if objects
        }
        for metric, column in METRICS.items()
    }


def as_table(study: CorrelationStudy) -> Table:
    """Return all correlations as a table of texts, with what must be said of them."""
    rows = {
        f"{row['attribute']}, {row['metric']}, {row['method']}": [
            str(row["objects"]),
            *(text for name in ("pearson", "spearman") for text in coefficient_texts(row, name)),
            f"{row['slope_per_100']:+.1f} ({row['slope_low']:+.1f} to {row['slope_high']:+.1f})",
        ]
        for _, row in study.table.iterrows()
    }
    heads = ["objects", "Pearson (95 %)", "p", "Holm", "Spearman (95 %)", "p", "Holm", "slope (95 %)"]
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=heads).rename_axis("attribute, metric, method")
    caption = (
        f"AUROC from {study.source}. Intervals: bias-corrected accelerated bootstrap over the objects, {RESAMPLES} "
        f"resamples, seed 0; of fewer than 10 objects they are no more than a hint. p: two-sided; Holm: corrected for "
        f"all {len(study.table)} tests of its kind. Slope: least squares, points per 100 units of the attribute."
    )
    title = "Correlations of AUROC with the objects' attributes"
    return Table("correlations", title, caption, cells, circumstances=" ".join(study.remarks))


def coefficient_texts(row: pd.Series, name: str) -> list[str]:
    """Format a coefficient with its interval, its p-value and the corrected one."""
    value, low, high = (row[f"{name}_{part}"] for part in ("value", "low", "high"))
    return [f"{value:+.2f} ({low:+.2f} to {high:+.2f})", f"{row[f'{name}_p']:.2g}", f"{row[f'{name}_holm']:.2g}"]


def measured_attributes(objects: Mapping[str, BenchmarkConfig], output_dir: Path) -> list[Attribute]:
    """Measure the attributes of a benchmark's objects as ``python -m data attributes`` does, and add the printed ones.

    Args:
        objects: object name → the config of its runs.
        output_dir: keeps the contrasts, which take seconds an object, in attributes.json.
    """
    folders = {name: Path(config.data_dir) / name for name, config in objects.items()}
    contrasts = {name: kept_contrast(folders[name], config, output_dir) for name, config in objects.items()}
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


def kept_contrast(folder: Path, config: BenchmarkConfig, output_dir: Path) -> Contrast:
    """Return an object's contrast, measured where it is not kept for the same images."""
    path, images = output_dir / "attributes.json", f"{views_fingerprint(folder)} on {config.background}"
    kept = read_kept(path)
    if kept.get(folder.name, {}).get("images") != images:
        contrast = measure_contrast(folder, config.background_rgb, Progress(config.quiet))
        kept[folder.name] = {"images": images, "contrast": asdict(contrast)}
        write_text(path, json.dumps(kept, indent=1) + "\n")
    return Contrast(**kept[folder.name]["contrast"])


def read_kept(path: Path) -> dict[str, Any]:
    """Read what was measured before; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        kept = None
    if not isinstance(kept, dict):
        raise InputError(f"{path} is damaged, expected a record of the objects' attributes; delete it.")
    return kept
