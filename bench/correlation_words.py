"""What the correlations say of the paper's claim, in words and tables that follow from the numbers by stated rules."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, stdev

from bench.correlation import (
    RESAMPLES,
    Attribute,
    Coefficient,
    Correlation,
    Study,
    correlation,
    flatness,
    least_significant,
    mean_correlation,
    over_methods,
)
from evaluation.results import Interval

ROBUST = "OmniposeAD"  # the paper's own method, and this program's in its place


def page(study: Study, every: bool = True) -> str:
    """The answer, the numbers that it stands on, and how they were made: Markdown; ``every`` with all correlations."""
    parts = ["## Does performance follow the objects' attributes?"]
    if any(others(found) for _, _, found in study.groups):
        parts += [answer(study), claim_table(study)]
    if robust_cases(study):
        parts += [robust_answer(study), robust_table(study)]
    if every:
        for attribute, metric, found in study.groups:
            parts += [f"### {metric} and {attribute.name}", correlation_table(found)]
    return "\n\n".join([*parts, how(study)]) + "\n"


def others(found: Sequence[Correlation]) -> list[Correlation]:
    """Those of the methods that the claim calls not robust."""
    return [one for one in found if not one.method.startswith(ROBUST)]


def side(interval: Interval) -> int:
    """+1 where all of the interval is above zero, -1 where all is below, else 0.

    >>> side((0.1, 0.2)), side((-0.2, -0.1)), side((-0.1, 0.2))
    (1, -1, 0)
    """
    return int(interval[0] > 0) - int(interval[1] < 0)


def verdict(claimed: int, found: Sequence[Correlation]) -> str:
    """Whether "most methods" follows for one attribute and metric.

    Returns:
        "yes" where more than half of the methods have an interval wholly on the claimed side; else "on average" where
        the mean correlation's interval is; "the reverse" where that is wholly on the other side; else "in sign only"
        where more than half of the methods have the claimed sign; else "no".
    """
    if sum(side(one.pearson.interval) == claimed for one in found) > len(found) / 2:
        return "yes"
    centre = over_methods(mean_correlation, found)
    where = side(centre[1]) if centre else 0
    if where:
        return "on average" if where == claimed else "the reverse"
    return "in sign only" if sum(one.pearson.value * claimed > 0 for one in found) > len(found) / 2 else "no"


def answer(study: Study) -> str:
    """Whether the claim about most methods follows, in a few sentences."""
    lines, verdicts = [], []
    holm_wins = sum(one.pearson.holm < 0.05 or one.spearman.holm < 0.05 for one in study.correlations)
    for attribute, metric, found in study.groups:
        rest = others(found)
        if not rest:
            continue
        verdicts.append(verdict(attribute.claimed, rest))
        signs = sum(one.pearson.value * attribute.claimed > 0 for one in rest)
        beyond = sum(side(one.pearson.interval) == attribute.claimed for one in rest)
        against = sum(side(one.pearson.interval) == -attribute.claimed for one in rest)
        lines.append(
            f"- {metric} {'rises' if attribute.claimed > 0 else 'falls'} with {attribute.name}: **{verdicts[-1]}**. "
            f"{signs} of {len(rest)} methods have this sign, {beyond} an interval that excludes zero on this side, "
            f"{against} on the other."
        )
    kinds = {"yes": "for most methods", "on average": "on average over the methods", "in sign only": "in sign only"}
    told = ", ".join(f"{words} in {verdicts.count(kind)}" for kind, words in kinds.items())
    total = f"So, of {len(verdicts)} pairs, the claim holds {told}."
    survive = (
        f"Of {len(study.correlations)} Pearson and as many Spearman correlations, {holm_wins or 'none'} "
        f"{'keep' if holm_wins != 1 else 'keeps'} p < 0.05 after Holm's correction in either."
    )
    claim = (
        f"The paper says: most methods do better the higher an object's colour contrast and the lower its shape "
        f"complexity, and {ROBUST} is robust to both. Does that follow from {study.source}, {ROBUST} left aside?"
    )
    return "\n\n".join([claim, "\n".join(lines), f"{total} {survive}"])


def claim_table(study: Study) -> str:
    """How many methods, the robust one aside, have the claimed sign, and how surely."""
    rows = []
    for attribute, metric, found in study.groups:
        rest = others(found)
        if not rest:
            continue
        centre = over_methods(mean_correlation, rest)
        told = f"{centre[0]:+.2f} ({bounds(centre[1])})" if centre else "–"
        for kind in ("pearson", "spearman"):
            each = [getattr(one, kind) for one in rest]
            mean_told = told if kind == "pearson" else "–"
            rows.append([f"{metric}, {attribute.name}", kind.capitalize(), *counts(attribute.claimed, each), mean_told])
    head = ["pair", "", "methods", "claimed sign", "interval", "p < 0.05", "Holm", "against", "mean r (95 %)"]
    return table(head, rows)


def counts(claimed: int, coefficients: Sequence[Coefficient]) -> list[str]:
    """Methods; those with the claimed sign, of these by interval, p and corrected p; by interval on the other side."""
    right = [one for one in coefficients if one.value * claimed > 0]
    numbers = (
        len(coefficients),
        len(right),
        sum(side(one.interval) == claimed for one in right),
        sum(one.p < 0.05 for one in right),
        sum(one.holm < 0.05 for one in right),
        sum(side(one.interval) == -claimed for one in coefficients),
    )
    return [str(number) for number in numbers]


def steepest(one: Correlation) -> float:
    """The steepest slope that the interval allows, either way."""
    return max(abs(bound) for bound in one.slope_interval)


def is_flat(one: Correlation, rest: Sequence[Correlation]) -> bool:
    """Whether its slope is surely flatter than the others' median: by the interval of the difference."""
    gap = over_methods(flatness, [one, *rest])
    return gap is not None and gap[1][0] > 0


def robust_cases(study: Study) -> list[tuple[Attribute, Correlation, list[Correlation]]]:
    """The robust method's correlations, each with those of the other methods."""
    return [
        (attribute, one, others(found))
        for attribute, _, found in study.groups
        for one in found
        if one.method.startswith(ROBUST) and others(found)
    ]


def robust_answer(study: Study) -> str:
    """What the intervals allow to say of the robust method, in a few sentences."""
    cases = robust_cases(study)
    flat = sum(is_flat(one, rest) for _, one, rest in cases)
    first = cases[0][0]
    spreads = [
        f"{stdev(one.auroc):.1f} points in {one.metric} (others' median {median(stdev(o.auroc) for o in rest):.1f})"
        for attribute, one, rest in cases
        if attribute == first
    ]
    return "\n\n".join(
        [
            f"A p-value above 0.05 shows no robustness; the slope's interval tells how strong a dependence the "
            f"numbers still allow. {ROBUST} is surely flatter than the other methods' median in {flat} of {len(cases)} "
            f"pairs:",
            "\n".join(robust_line(*case) for case in cases),
            f"Its AUROCs vary from object to object by a standard deviation of {', '.join(spreads)}. What is near 100 "
            f"has little room to vary, so a flat slope alone does not tell robustness from a high level.",
        ]
    )


def robust_line(attribute: Attribute, one: Correlation, rest: Sequence[Correlation]) -> str:
    """One pair's line of the list."""
    interval, gap = one.pearson.interval, over_methods(flatness, [one, *rest])
    tied = (
        "excludes zero: it is tied to the attribute" if side(interval) else "allows none and a clear dependence alike"
    )
    compared = f"; flatter by {gap[0]:.1f} ({bounds(gap[1], 1)})" if gap else ""
    return (
        f"- {one.method}, {one.metric} and {attribute.name}: r = {one.pearson.value:+.2f} ({bounds(interval)}, "
        f"{interval[1] - interval[0]:.2f} wide), which {tied}. Its slope may be as steep as {steepest(one):.1f} points "
        f"per 100 units, the other methods' median is {median(abs(other.slope) for other in rest):.1f}{compared}: "
        f"**{'flatter than most' if is_flat(one, rest) else 'not surely flatter'}**."
    )


def robust_table(study: Study) -> str:
    """The robust method's correlations beside the others' slopes."""
    rows = [
        [
            f"{one.method}, {one.metric}, {attribute.name}",
            coefficient(one.pearson),
            coefficient(one.spearman),
            f"{one.slope:+.1f} ({bounds(one.slope_interval, 1)})",
            f"{median(abs(other.slope) for other in rest):.1f}",
            f"{sum(abs(other.slope) > abs(one.slope) for other in rest)} of {len(rest)}",
        ]
        for attribute, one, rest in robust_cases(study)
    ]
    head = ["", "Pearson (95 %), p", "Spearman (95 %), p", "slope (95 %)", "others' median", "steeper than it"]
    return table(head, rows)


def correlation_table(found: Sequence[Correlation]) -> str:
    """All numbers of one attribute and metric."""
    rows = []
    for one in found:
        runs = [[coefficient(each), f"{each.holm:.2g}"] for each in (one.pearson, one.spearman)]
        slope = f"{one.slope:+.1f} ({bounds(one.slope_interval, 1)})"
        rows.append([one.method, str(len(one.objects)), *runs[0], *runs[1], slope])
    head = ["method", "objects", "Pearson (95 %), p", "Holm", "Spearman (95 %), p", "Holm", "slope (95 %)"]
    return table(head, rows)


def how(study: Study) -> str:
    """How the numbers were made, and what they cannot tell."""
    objects = max(len(one.objects) for one in study.correlations)
    tests = len(study.correlations)
    words = [
        f"Intervals: bias-corrected accelerated bootstrap over the objects, {RESAMPLES} resamples, seed 0. p: "
        f"two-sided, Student's t; Holm: p corrected for all {tests} tests of its kind. Slope: least squares, points of "
        f"AUROC per 100 units of the attribute. Mean r and the difference of slopes: over the methods, {ROBUST} aside, "
        f"all on the same resamples, since they saw the same objects and their signs are no independent votes. Yes: "
        f"more than half of the methods have an interval of r wholly on the claimed side; on average: the mean r's "
        f"interval is; the reverse: that is wholly on the other side; in sign only: more than half have the sign.",
        f"With {objects} objects a correlation has p < 0.05 from |r| = {least_significant(objects, 0.05):.2f}, and "
        f"from |r| = {least_significant(objects, 0.05 / tests):.2f} where it is the strongest of {tests}: weaker ones "
        f"cannot be told from none here, in either direction.",
        *(["The bootstrap of fewer than 10 objects is rough: its intervals are no more than a hint."] * (objects < 10)),
        *between(study.attributes),
        *study.remarks,
    ]
    return "\n\n".join(words)


def between(attributes: Sequence[Attribute]) -> list[str]:
    """How the attributes go with each other, a sentence a pair."""
    sentences = []
    for index, first in enumerate(attributes):
        for second in attributes[index + 1 :]:
            one = correlation(first, "", "", second.values)
            if one is not None:
                sure = (
                    "so that neither's part can be told from the other's by these correlations alone"
                    if side(one.pearson.interval)
                    else "so that they may or may not speak of the same"
                )
                sentences.append(
                    f"{first.name.capitalize()} and {second.name} themselves correlate with r = "
                    f"{one.pearson.value:+.2f} ({bounds(one.pearson.interval)}), {sure}."
                )
    return sentences


def coefficient(one: Coefficient) -> str:
    """As tables show it."""
    return f"{one.value:+.2f} ({bounds(one.interval)}), {one.p:.2g}"


def bounds(interval: Interval, digits: int = 2) -> str:
    """An interval in words."""
    return f"{interval[0]:+.{digits}f} to {interval[1]:+.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column stands left, the others right."""
    lines = [f"| {' | '.join(line)} |" for line in [head, *rows]]
    return "\n".join([lines[0], "|---" + "|---:" * (len(head) - 1) + "|", *lines[1:]])
