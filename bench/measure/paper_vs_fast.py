"""The paper's path and the default one, side by side on one object in one process: seconds and their ratios.

    python -m bench.measure.paper_vs_fast --obj 01Gorilla --minutes 10 --random_weights

takes every option of ``anomaly_nerf_lego.py``; they hold for both paths, ``configs/paper.txt`` for the paper's. What
takes hours is measured in part and multiplied, and the table says so.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch

from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.mad import list_queries, load_views
from pipeline.config import ROOT, Config, ConfigParser, parse, require_object
from pipeline.methods import field_method, refinement_method, remark_of, retrieval_method, run_context, score_method
from scoring.scorers import calibrate
from utils.config import values_of
from utils.device import environment
from utils.errors import exit_code_of
from utils.images import read_image
from utils.progress import Progress, Stopwatch
from utils.rendering import Field
from utils.run_context import RunContext
from utils.text import MISSING
from utils.views import Views, split_held_out

PAPER = ROOT / "configs" / "paper.txt"
GOALS = (25.0, 30.0, 33.0)  # dB
FAST_STEPS = (25, 50, 100, 200, 400, 1200)  # lengths of the default training, each from the start
FIRST_STEPS = 16  # the paper's training is looked at after so many steps, then after twice as many, and so on
PIXELS = 4096  # of held-out views, from which PSNR is estimated
MAX_GROWTH = 100.0  # logarithm of the factor by which seconds are extrapolated; beyond it they count as infinite


@dataclass(frozen=True)
class CurvePoint:
    """A training at some time."""

    steps: int
    seconds: float
    psnr: float  # dB, of random pixels of held-out views


@dataclass(frozen=True)
class QuerySeconds:
    """Seconds of one query by stage."""

    retrieve: float
    step: float | None  # one step of iNeRF; None where there are no such steps
    refine: float
    render: float
    compare: float

    @property
    def whole(self) -> float:
        """Seconds of all stages."""
        return self.retrieve + self.refine + self.render + self.compare


def main(argv: list[str]) -> int:
    """Measure both paths on the object that the command line names; return the exit code."""
    parser = ConfigParser("Seconds of the paper's path and of the default one, on one object, and their ratios.")
    parser.add_argument("--minutes", type=float, default=10.0, help="to train the paper's field, on each device")
    parser.add_argument("--steps", type=int, default=5, help="steps of iNeRF that are timed")
    parser.add_argument("--queries", type=int, default=12, help="queries timed on the default path")
    add_page_options(parser, "paper")
    fast, args, _ = parse(parser, argv)
    paper = parse(parser, ["--config", str(PAPER), *argv])[0]
    refuse_dirty_tree(args)
    require_object(fast)
    views = load_views(fast.object_dir, fast.image_size, fast.background_rgb)
    train, held_out = (views.subset(rows) for rows in split_held_out(len(views), fast.val_every))
    queries = list_queries(fast.object_dir)
    chosen = [queries[index * len(queries) // args.queries] for index in range(args.queries)]
    parts = []
    for device in [torch.device("cpu"), *([torch.device("cuda")] if torch.cuda.is_available() else [])]:
        bench = PathBench(train, held_out, [query.path for query in chosen], device, Progress(fast.quiet))
        slow, quick = bench.paper(paper, 60 * args.minutes, args.steps), bench.fast(fast)
        where = describe_measurement({**environment(device)}, values_of(paper), remark_of(paper), ("field",))
        parts.append(f"### On {device.type}\n\n{where}\n\n{path_tables(slow, quick, paper)}")
    command = f"`python -m bench.measure.paper_vs_fast` on {fast.object_name}"
    body = f"## The paper's path and the default one\n\n{command}.\n\n" + "\n\n".join(parts)
    if not torch.cuda.is_available():
        body += "\n\nNo GPU was at hand: nothing of this table was measured on one."
    write_section(args.page, args.section, body)
    print(body)
    return 0


@dataclass(frozen=True)
class PathCost:
    """What one path costs on one device."""

    curve: list[CurvePoint]
    rays_per_second: float | None
    gallery: float  # seconds, once an object
    query: QuerySeconds


@dataclass(frozen=True)
class PathBench:
    """Measures both paths with one object on one device."""

    train: Views
    held_out: Views
    queries: list[Path]
    device: torch.device
    progress: Progress

    def context(self, config: Config) -> RunContext:
        """Return the run context of the settings, on this device."""
        return replace(run_context(config), device=self.device, progress=self.progress)

    def field(self, config: Config, unfinished: Path | None = None) -> Field:
        """Train a field."""
        return field_method(config).train(self.train, self.context(config), unfinished)

    def paper(self, config: Config, budget: float, steps: int) -> PathCost:
        """Measure the paper's path: its training for ``budget`` seconds, and one query by its parts."""
        curve: list[CurvePoint] = []
        with tempfile.TemporaryDirectory() as folder:
            count, unfinished = FIRST_STEPS, Path(folder) / "field.safetensors"
            spent = 0.0
            while len(curve) < 2 or 2 * spent < budget:
                longer = replace(config, nerf=replace(config.nerf, N_iters=count))
                start = time.perf_counter()
                field = self.field(longer, unfinished)
                spent += self.since(start)
                curve.append(CurvePoint(count, spent, self.psnr(field)))
                self.progress.info(f"{count} steps, {spent:.0f} s, {curve[-1].psnr:.2f} dB")
                count *= 2
        speed = config.nerf.N_rand * (curve[-1].steps - curve[0].steps) / (curve[-1].seconds - curve[0].seconds)
        gallery, query = self.one_query(config, field, self.queries[:1], steps)
        return PathCost(curve, speed, gallery, query)

    def fast(self, config: Config) -> PathCost:
        """Measure the default path: trainings of several lengths, and some whole queries."""
        self.field(with_steps(config, FAST_STEPS[0]))  # compiles
        curve = []
        for count in FAST_STEPS:
            start = time.perf_counter()
            field = self.field(with_steps(config, count))
            curve.append(CurvePoint(count, self.since(start), self.psnr(field)))
        gallery, query = self.one_query(config, field, self.queries, None)
        return PathCost(curve, None, gallery, query)

    def one_query(
        self, config: Config, field: Field, paths: Sequence[Path], steps: int | None
    ) -> tuple[float, QuerySeconds]:
        """Return the seconds of building the gallery, and the median seconds of each stage of a query."""
        camera, hypotheses = self.train.intrinsics, config.retrieval.hypotheses
        once = Stopwatch(self.device)
        with once.stage("gallery"):
            gallery = retrieval_method(config).build(self.train, field.render, self.context(config))
        pose = self.held_out.camera_to_world[0]
        pair = (self.held_out.image(0).to(self.device), field.render(pose, camera))
        scorer = calibrate([pair], score_method(config).make(self.context(config)), config.score.false_positive_rate)
        stages = {"refine": config.inerf.inerf_steps} if steps is None else {"refine": 1, "more": 1 + steps}
        runs = []
        for path in self.progress.track(paths, "queries"):
            clock = Stopwatch(self.device)
            query = read_image(path, config.image_size, config.background_rgb).to(self.device)
            with clock.stage("retrieve"):
                coarse = gallery.retrieve(query, camera, hypotheses)
            for stage, count in stages.items():
                some = replace(config, inerf=replace(config.inerf, inerf_steps=count))
                with clock.stage(stage):
                    context = self.context(some)
                    found = refinement_method(some).refine(query, path.stem, coarse, camera, field, context)
            with clock.stage("render"):
                reference = field.render(found.camera_to_world, camera)
            with clock.stage("compare"):
                scorer.compare(query, reference)
            runs.append(clock.seconds)
        seconds = {stage: median(run[stage] for run in runs) for stage in runs[0]}
        step = None if steps is None else (seconds.pop("more") - seconds["refine"]) / steps
        seconds["refine"] += (config.inerf.inerf_steps - 1) * (step or 0.0)
        return once.seconds["gallery"], QuerySeconds(step=step, **seconds)

    def psnr(self, field: Field) -> float:
        """Return the PSNR in dB of the same random pixels of all held-out views, one ray each."""
        generator, camera = torch.Generator().manual_seed(0), self.held_out.intrinsics
        error, each = 0.0, max(1, PIXELS // len(self.held_out))
        for index in range(len(self.held_out)):
            column = torch.randint(camera.width, (each,), generator=generator)
            row = torch.randint(camera.height, (each,), generator=generator)
            pixels = (torch.stack([column, row], -1) + 0.5).to(self.device)
            with torch.no_grad():
                colour = field.render_pixels(pixels, self.held_out.camera_to_world[index].to(self.device), camera)
            truth = self.held_out.image(index)[row, column]
            error += float((colour.cpu() - truth).square().mean()) / len(self.held_out)
        return -10 * math.log10(max(error, 1e-10))

    def since(self, start: float) -> float:
        """Return the seconds since ``start``, once all work of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - start


def with_steps(config: Config, steps: int) -> Config:
    """Return the settings with another length of the default training."""
    return replace(config, field=replace(config.field, steps=steps))


def seconds_to(goal: float, curve: Sequence[CurvePoint]) -> tuple[float, bool]:
    """Return the seconds of training until ``goal`` dB, and whether they are extrapolated.

    Between measured points, and beyond them with the slope of the last half of them, PSNR is taken to be linear in the
    logarithm of the seconds. Infinite where the PSNR hardly rises any more.

    >>> curve = [CurvePoint(1, 1.0, 10.0), CurvePoint(10, 10.0, 20.0)]
    >>> seconds_to(15.0, curve)[1], round(seconds_to(30.0, curve)[0]), seconds_to(30.0, curve)[1]
    (False, 100, True)
    >>> seconds_to(1e6, curve)[0]
    inf
    """
    reached = next((index for index, point in enumerate(curve) if point.psnr >= goal), None)
    if reached == 0:
        return curve[0].seconds, False
    before, after = (curve[reached - 1], curve[reached]) if reached else (curve[(len(curve) - 1) // 2], curve[-1])
    rise = after.psnr - before.psnr
    if rise <= 0:
        return math.inf, True
    growth = (goal - before.psnr) / rise * math.log(after.seconds / before.seconds)
    return before.seconds * math.exp(growth) if growth < MAX_GROWTH else math.inf, reached is None


def path_tables(slow: PathCost, quick: PathCost, paper: Config) -> str:
    """Return the two tables of a device: training and a query."""
    rows = []
    same = slow.curve[-1].psnr
    for goal in (same, *GOALS):
        times = [seconds_to(goal, one.curve) for one in (slow, quick)]
        name = f"to {goal:.1f} dB" + (" (where the paper's training was stopped)" if goal == same else "")
        rows.append([name, *(seconds_text(*one) for one in times), ratio_text(times[0][0], times[1][0])])
    a, b, steps = slow.query, quick.query, paper.inerf.inerf_steps
    stages = [
        compared("gallery, once an object", slow.gallery, quick.gallery),
        ["one step of iNeRF", seconds_text(a.step or 0.0), MISSING, MISSING],
        compared("retrieve", a.retrieve, b.retrieve),
        compared("refine", a.refine, b.refine, estimated=True),
        compared("render", a.render, b.render),
        compared("compare", a.compare, b.compare),
        compared("whole query", a.whole, b.whole, estimated=True),
    ]
    head = ["", "paper", "default", "ratio"]
    curve = ", ".join(f"{point.psnr:.1f} dB after {point.steps}" for point in slow.curve)
    return (
        f"{markdown_table(['training', *head[1:]], rows)}\n\n{markdown_table(['a query', *head[1:]], stages)}\n\n"
        f"PSNR is that of {PIXELS} random pixels of held-out views, one ray each, for both. The default training was "
        f"run from the start with {', '.join(str(point.steps) for point in quick.curve)} steps; the paper's for "
        f"{slow.curve[-1].steps} steps of {paper.nerf.N_rand} rays ({slow.rays_per_second:.0f} rays/s): {curve} steps. "
        f"≈: not run to the end: a training beyond its last point is extrapolated, PSNR linear in the logarithm of the "
        f"seconds; a refinement is the first step and {steps - 1} times the timed one, through the field as this short "
        f"training left it."
    )


def compared(name: str, slow: float, quick: float, estimated: bool = False) -> list[str]:
    """Return a row: seconds of both paths and their ratio; ``estimated`` where the paper's were not all measured."""
    return [name, seconds_text(slow, estimated), seconds_text(quick), ratio_text(slow, quick)]


def seconds_text(seconds: float, estimated: bool = False) -> str:
    """Format seconds with three digits.

    >>> seconds_text(0.01234), seconds_text(12345.6, True), seconds_text(math.inf)
    ('0.0123 s', '≈ 12300 s', 'never')
    """
    if math.isinf(seconds):
        return "never"
    digits = max(0, 2 - math.floor(math.log10(max(seconds, 1e-6))))
    rounded = float(f"{seconds:.3g}")
    return f"{'≈ ' if estimated else ''}{rounded:.{digits}f} s"


def ratio_text(slow: float, quick: float) -> str:
    """Format how many times as long.

    >>> ratio_text(123.0, 0.1)
    '1230×'
    """
    return MISSING if math.isinf(slow) or math.isinf(quick) else f"{float(f'{slow / quick:.3g}'):.0f}×"


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
