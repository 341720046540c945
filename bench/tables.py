"""The benchmark's tables: AUROC by object as in the paper, the other figures by method, AUROC by type of defect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from bench.frame import (
    AUROCS,
    DONE,
    FAILED,
    NEVER_RUN,
    Mean,
    defect_types_in,
    describe_runs,
    mean_over,
    methods_in,
    objects_in,
    runs_in,
    select,
)
from bench.ranks import Ranking, sentences
from bench.typeset import Table, bold, raised
from evaluation.results import STAND_IN_REMARKS
from utils.text import MISSING, format_number

STAND_IN_MARKS = {"lite0": "†lite0", "random": "†random"}
FAST_MARK, PART_MARK, SEEDS_MARK = "‡", "*", "§"
UNDEFINED = "n/a"
NOTES = {
    **{mark: STAND_IN_REMARKS[stand_in] for stand_in, mark in STAND_IN_MARKS.items()},
    FAST_MARK: "Made with the fast preset, where the method has one, in place of its paper's settings.",
    PART_MARK: "Not all objects: a mean over as many as said, not to be compared with a mean over others.",
    SEEDS_MARK: "Not all seeds have a result.",
    UNDEFINED: "Not defined, as an AUROC without masks or without good queries; or not known on that system.",
}


def percent(value: float, std: float | None = None) -> str:
    """Format a fraction in per cent with one decimal; only a perfect one is shown as perfect.

    >>> percent(0.98765), percent(0.99999), percent(1.0), percent(0.5, 0.01)
    ('98.8', '99.9', '100.0', '50.0 ± 1.0')
    """
    text = f"{value if value == 1.0 else min(value, 0.999):.1%}".removesuffix("%")
    return text if std is None else f"{text} ± {100 * std:.1f}"


def failure_reasons(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return each reason for failures with the names of the runs that it stopped."""
    runs = runs_in(frame, FAILED)
    names = runs["object"] + "/" + runs["method"] + "/seed" + runs["seed"].astype(str)
    return {reason: list(group) for reason, group in names.groupby(runs["note"], sort=False)}


def failure_marks(frame: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Return the numbers of the reasons for the failures in some rows of the frame."""
    return [str(number) for number, reason in enumerate(failure_reasons(frame), 1) if reason in set(rows["note"])]


def all_notes(frame: pd.DataFrame) -> dict[str, str]:
    """Return the notes of all tables: marks, and numbered reasons for failures."""
    notes = dict(NOTES)
    for index, (reason, names) in enumerate(failure_reasons(frame).items(), 1):
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        notes[str(index)] = f"{shown} failed: {reason}"
    return notes


def method_marks(frame: pd.DataFrame, method: str) -> list[str]:
    """Return the marks of a method in every table."""
    return [mark for mark, runs in marked_runs(frame[frame["method"] == method]).items() if any(runs)]


def marked_runs(runs: pd.DataFrame) -> dict[str, pd.Series]:
    """Return of each mark that says how runs were made to which of them it applies."""
    stand_ins = {mark: runs["stand_in"] == stand_in for stand_in, mark in STAND_IN_MARKS.items()}
    return {**stand_ins, FAST_MARK: runs["fast"]}


def stand_in_cautions(marks: Mapping[str, str]) -> list[str]:
    """Return a sentence for each stand-in with the methods that have it.

    Args:
        marks: method → its marks.
    """
    methods = {mark: [method for method in marks if mark in marks[method]] for mark in STAND_IN_MARKS.values()}
    return [f"{', '.join(names)} ({mark}): {NOTES[mark]}" for mark, names in methods.items() if names]


def method_heads(frame: pd.DataFrame) -> list[str]:
    """Return the methods' names with their marks."""
    return [method + raised(*method_marks(frame, method)) for method in methods_in(frame)]


def run_marks(frame: pd.DataFrame, method: str, objects: Sequence[str]) -> tuple[list[str], str]:
    """Return the marks of a method's runs on some objects, and words on missing seeds.

    The method's own marks are repeated where they do not hold for all of its runs.
    """
    rows = frame[(frame["method"] == method) & frame["object"].isin(objects)]
    done, asked = len(runs_in(rows, DONE)), len(runs_in(rows, DONE, FAILED, NEVER_RUN))
    missing = len(objects) == 1 and 0 < done < asked
    marks = [SEEDS_MARK] if missing else []
    marks += failure_marks(frame, rows) if missing or not done else []
    here, everywhere = marked_runs(runs_in(rows, DONE)), marked_runs(runs_in(frame[frame["method"] == method], DONE))
    marks += [mark for mark in here if any(here[mark]) and not all(everywhere[mark])]
    return marks, f" ({done} of {asked} seeds)" if missing else ""


def auroc_cells(frame: pd.DataFrame, objects: Sequence[str], defect_type: str = "") -> list[str]:
    """Return pixel / image AUROC of each method as means over the objects; the best are bold where all have all."""
    methods = methods_in(frame)
    means = pd.DataFrame(
        {metric: [mean_over(frame, metric, method, objects, defect_type) for method in methods] for metric in AUROCS},
        index=methods,
        dtype=object,
    )
    whole = all(mean is None or mean.objects == len(objects) for mean in means.to_numpy().ravel())
    texts = pd.DataFrame({metric: auroc_texts(means[metric], whole) for metric in AUROCS}, index=methods)
    return [
        auroc_cell(frame, method, objects, list(texts.loc[method]), [mean for mean in means.loc[method] if mean])
        for method in methods
    ]


def auroc_texts(means: Sequence[Mean | None], with_best: bool) -> list[str]:
    """Format one AUROC of all methods, the largest as shown in bold where there are several."""
    texts = [UNDEFINED if mean is None else percent(mean.value, mean.std) for mean in means]
    shown = [float(text.split()[0]) for text in texts if text != UNDEFINED]
    if not with_best or len(shown) < 2:
        return texts
    return [bold(text) if text != UNDEFINED and float(text.split()[0]) == max(shown) else text for text in texts]


def auroc_cell(
    frame: pd.DataFrame, method: str, objects: Sequence[str], texts: Sequence[str], means: Sequence[Mean]
) -> str:
    """Return the two AUROCs of a method with marks and remarks, or that its runs failed or were never done."""
    marks, remark = run_marks(frame, method, objects)
    rows = frame[(frame["method"] == method) & frame["object"].isin(objects)]
    if runs_in(rows, DONE).empty:
        return f"failed{raised(*marks)}" if marks else MISSING
    counts = {mean.objects for mean in means}
    if counts and min(counts) < len(objects):
        marks.append(PART_MARK)
        remark += f" ({' and '.join(map(str, sorted(counts)))} of {len(objects)})"
    return " / ".join(texts) + raised(*marks) + remark


def count_text(count: int, noun: str = "object") -> str:
    """Format a number of objects.

    >>> count_text(1), count_text(3)
    ('1 object', '3 objects')
    """
    return f"{count} {noun}{'s' if count != 1 else ''}"


def auroc_table(frame: pd.DataFrame) -> Table:
    """Return pixel and image AUROC, an object a row, a method a column, as in the paper's section 3.4."""
    objects = objects_in(frame)
    rows = {name: auroc_cells(frame, [name]) for name in objects}
    mean = auroc_cells(frame, objects)
    rows[bold(f"Mean of {count_text(len(objects))}")] = mean
    shared = shared_objects(frame)
    if any(PART_MARK in cell for cell in mean) and shared:
        rows[bold(f"Mean of the {count_text(len(shared))} that all have")] = auroc_cells(frame, shared)
    several = runs_in(frame, DONE).groupby(["object", "method"])["seed"].nunique().max() > 1
    caption = (
        "Pixel AUROC / image AUROC in per cent; the best of each row stands out, but of means only where all are over "
        f"the same objects. {MISSING} was never run."
    )
    if several:
        caption += " ± is the sample standard deviation over seeds, in a row of means that of the seeds' means."
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=method_heads(frame)).rename_axis("Object")
    return Table("auroc", "AUROC by object", caption, cells, all_notes(frame), describe_runs(frame))


def shared_objects(frame: pd.DataFrame) -> list[str]:
    """Return the objects of which all methods that have any AUROC have both; none of fewer than two methods."""
    names = [set(select(frame, metric)[["object", "method"]].itertuples(index=False, name=None)) for metric in AUROCS]
    methods = {method for _, method in names[0] | names[1]}
    both = names[0] & names[1]
    if len(methods) < 2:
        return []
    return [name for name in objects_in(frame) if all((name, method) in both for method in methods)]


MetricColumn = tuple[str, Callable[[Mean], str]]  # metric, and how its mean is shown


def percent_text(mean: Mean) -> str:
    """Format a mean in per cent."""
    return percent(mean.value, mean.std)


def gigabytes(mean: Mean) -> str:
    """Format a mean of bytes in units of 10⁹."""
    return f"{mean.value / 1e9:.2f}"


def value_text(mean: Mean) -> str:
    """Format a mean with three significant digits."""
    return format_number(mean.value)


METHOD_COLUMNS: Mapping[str, MetricColumn] = {
    "AUPRO": ("aupro", percent_text),
    "AUPIMO": ("aupimo", percent_text),
    "F1": ("image_f1", percent_text),
    "Recall": ("recall", percent_text),
    "False positives": ("fpr", percent_text),
    "Fit, s": ("fit_seconds", value_text),
    "Fit, CPU s": ("fit_cpu_seconds", value_text),
    "Query, s": ("query_seconds", value_text),
    "Memory, GB": ("peak_bytes", gigabytes),
    "GPU memory, GB": ("peak_device_bytes", gigabytes),
}


def method_rows(frame: pd.DataFrame, columns: Mapping[str, MetricColumn]) -> pd.DataFrame:
    """Return a method a row with some figures as means over objects."""
    objects = objects_in(frame)
    rows = {}
    for method in methods_in(frame):
        runs = frame[frame["method"] == method]
        done = runs_in(runs, DONE)["object"].nunique()
        marks = method_marks(frame, method) + ([PART_MARK] if 0 < done < len(objects) else [])
        marks += failure_marks(frame, runs)
        cells = [f"{done} of {len(objects)}"]
        for metric, show in columns.values():
            mean = mean_over(frame, metric, method, objects)
            partial = mean is not None and mean.objects < done
            empty = UNDEFINED if done else MISSING
            cells.append(empty if mean is None else show(mean) + (f" ({count_text(mean.objects)})" if partial else ""))
        rows[method + raised(*marks)] = cells
    return pd.DataFrame.from_dict(rows, orient="index", columns=["Objects", *columns]).rename_axis("Method")


def method_table(frame: pd.DataFrame) -> Table:
    """Return what is not AUROC, a method a row, as means over objects."""
    caption = (
        "Means over objects, in per cent where no unit is said. F1, recall and the share of good queries that are "
        "called defective hold at the threshold set by held-out normal views. AUPRO: false-positive rate up to 0.3. "
        "AUPIMO: mean recall of the pixels of each defective query at false-positive rates of 10⁻⁵ to 10⁻⁴. "
        "A query's seconds are the median of an object's; memory is the peak of the process."
    )
    if runs_in(frame, DONE)["machine"].nunique() > 1:
        caption += " The runs were made on different machines, so seconds and memory do not compare."
    cells = method_rows(frame, METHOD_COLUMNS)
    title = "Detection, time and memory by method"
    return Table("methods", title, caption, cells, all_notes(frame), describe_runs(frame))


def defect_table(frame: pd.DataFrame) -> Table:
    """Return pixel and image AUROC, a type of defect a row, a method a column, as means over the objects with it."""
    rows = {}
    for defect_type in defect_types_in(frame):
        objects = objects_in(frame[frame["defect_type"] == defect_type])
        rows[f"{defect_type} ({count_text(len(objects))})"] = auroc_cells(frame, objects, defect_type)
    caption = (
        "Pixel AUROC / image AUROC in per cent of each type against all good queries, means over the objects that "
        "have it; the best of a row stands out where all methods have all objects."
    )
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=method_heads(frame)).rename_axis("Defect")
    return Table("defects", "AUROC by type of defect", caption, cells, all_notes(frame), describe_runs(frame))


def rank_table(frame: pd.DataFrame, rankings: Sequence[Ranking]) -> Table:
    """Return the methods' average ranks by each metric, the best of the last one first."""
    heads = dict(zip(methods_in(frame), method_heads(frame)))
    last = rankings[-1].rank_of
    rows = {
        heads[method]: [rank_text(ranking, method) for ranking in rankings]
        for method in sorted(heads, key=lambda method: last.get(method, float("inf")))
    }
    columns = [f"{ranking.metric} ({count_text(len(ranking.objects))})" for ranking in rankings]
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("Method")
    caption = "Average rank over the objects that all ranked methods have; 1 is best, equal values share their ranks. "
    tests = " ".join(sentence for ranking in rankings for sentence in sentences(ranking))
    return Table("ranks", "Ranks", caption + tests, cells, all_notes(frame), describe_runs(frame))


def rank_text(ranking: Ranking, method: str) -> str:
    """Format a method's average rank, in bold where it is the best of several."""
    rank = ranking.rank_of.get(method)
    if rank is None:
        return MISSING
    best = len(ranking.ranks) > 1 and rank == min(ranking.ranks)
    return bold(f"{rank:.2f}") if best else f"{rank:.2f}"
