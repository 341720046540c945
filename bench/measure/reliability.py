"""How reliable references are: the residual that they expect against the one that held-out views show.

    python -m bench.measure.reliability data/LEGO-3D/01Gorilla data/LEGO-3D/02Unicorn --work /tmp/reliability

Half of the held-out views calibrate what the other half measures, and the other way round.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from torch import Tensor

from bench.measure.command import add_run_options, object_options, run_options, run_script
from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.mad import read_views
from data.splits import select_views
from data.transforms_file import TransformsFile
from evaluation.metrics import psnr
from pipeline.config import Config
from pipeline.model import Model
from report.figure import INK, SOFT
from utils.checkpoint import write_atomically
from utils.config import Parser, values_of
from utils.errors import InputError, exit_code_of
from utils.exposure import match_exposure, rendered_pairs
from utils.rendering import RESIDUAL_SIGMA, Field, Rendering
from utils.smoothing import smooth
from utils.views import Views, split_held_out

BINS = 10  # of equally many pixels, by expected residual
SOLID = 0.1  # opacity from which a pixel shows the object


@dataclass(frozen=True)
class Reliability:
    """An object's references against its held-out views."""

    name: str
    plain: list[float]  # PSNR in dB of each held-out view as rendered
    corrected: list[float]  # and as corrected
    expected: np.ndarray  # (pixels,) of the object in all of them
    measured: np.ndarray  # (pixels,) root mean square residual over RGB
    seen: np.ndarray  # (pixels,) training views that show the pixel's surface

    def bins(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the root mean squares (bins,) of expected and measured residuals, pixels sorted by the expected."""
        parts = np.array_split(np.argsort(self.expected, kind="stable"), BINS)
        expected, measured = ([root_mean(values[part]) for part in parts] for values in (self.expected, self.measured))
        return np.array(expected), np.array(measured)


def root_mean(values: np.ndarray) -> float:
    """Return the root mean square of ``values`` (count,).

    >>> root_mean(np.array([3.0, 3.0, -3.0]))
    3.0
    """
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


def main(argv: list[str]) -> int:
    """Train the objects that the command line names, unless they are; measure them; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("objects", nargs="+", type=Path, metavar="OBJECT_DIR", help="object folders in the MAD layout")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints; what is trained there is used")
    add_run_options(parser)
    add_page_options(parser, "reliability")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    options = run_options(args)
    measured, models = [], []
    for folder in args.objects:
        run_script(["anomaly_nerf_lego.py", *object_options(folder, args.work), *options])
        models.append(Model.load(args.work / "ckpts" / folder.resolve().name, args.device))
        measured.append(measure(models[-1], held_out_views(folder, models[-1].config)))
    picture = args.page.with_name(f"{args.section}.png")
    write_atomically(picture, lambda path: path.write_bytes(reliability_figure(measured)))
    settings = values_of(models[0].config)
    where = describe_measurement(models[0].record.environment, settings, "")
    write_section(args.page, args.section, reliability_section(measured, where, picture.name))
    print(f"Table: {args.page}, plot: {picture}")
    return 0


def held_out_views(object_dir: Path, config: Config) -> Views:
    """Read the views that training held out."""
    views = read_views(TransformsFile.read(object_dir), config.image_size, config.background_rgb)
    views = select_views(views, config.robustness, config.seed)
    return views.subset(split_held_out(len(views), config.val_every)[1])


def measure(model: Model, held_out: Views) -> Reliability:
    """Compare held-out views with their references, each half with what the other half calibrated.

    Raises:
        InputError: where there are fewer than two held-out views, or the field expects no residuals.
    """
    if len(held_out) < 2:
        raise InputError(f"{model.config.object_name} has {len(held_out)} held-out views, at least 2 are needed.")
    plain: list[float] = []
    corrected: list[float] = []
    pixels = []
    for half in (0, 1):
        own, other = (list(range(start, len(held_out), 2)) for start in (half, 1 - half))
        field = model.field.calibrate(rendered_pairs(model.field, held_out.subset(other)))
        for index in own:
            truth, pose = held_out.image(index).to(model.device), held_out.camera_to_world[index].to(model.device)
            for rendering, values in (
                (exposed(field, field.render(pose, held_out.intrinsics), truth, held_out), plain),
                (exposed(field, field.render_reference(pose, held_out.intrinsics), truth, held_out), corrected),
            ):
                values.append(psnr(rendering.colour.cpu(), truth.cpu()))
            if rendering.expected_residual is None or rendering.views_seen is None:
                raise InputError(f"The field of {model.config.object_name} expects no residuals; train it with some.")
            solid = rendering.opacity >= SOLID
            residual = smooth(rendering.colour - truth, RESIDUAL_SIGMA).square().mean(-1).sqrt()
            images = (rendering.expected_residual, residual, rendering.views_seen)
            pixels.append([image[solid].cpu().numpy() for image in images])
    return Reliability(model.config.object_name, plain, corrected, *(np.concatenate(part) for part in zip(*pixels)))


def exposed(field: Field, rendering: Rendering, truth: Tensor, held_out: Views) -> Rendering:
    """Return ``rendering`` exposed as the photo ``truth`` is, where exposures vary."""
    return match_exposure(rendering, truth, held_out.background) if field.exposure_varies else rendering


def reliability_figure(measured: Sequence[Reliability]) -> bytes:
    """Draw measured against expected residuals of all objects, and the diagonal on which they are equal, as PNG."""
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    values = np.concatenate([np.concatenate(one.bins()) for one in measured])
    ends = [0.8 * float(values.min()), 1.25 * float(values.max())]
    axes.plot(ends, ends, color=SOFT, linewidth=1.0, label="expected = measured")
    for one in measured:
        axes.plot(*one.bins(), marker="o", markersize=3.5, linewidth=1.0, label=one.name)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.set_xlabel("expected residual, RMS of a tenth of the pixels", color=INK)
    axes.set_ylabel("measured residual, RMS", color=INK)
    axes.legend(frameon=False, fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def reliability_section(measured: Sequence[Reliability], where: str, picture: str) -> str:
    """Return the section's Markdown: circumstances, a column an object, and the plot."""
    rows = [
        ["held-out views", *(str(len(one.plain)) for one in measured)],
        ["PSNR as rendered", *(f"{np.mean(one.plain):.2f} dB" for one in measured)],
        ["PSNR as corrected", *(f"{np.mean(one.corrected):.2f} dB" for one in measured)],
        ["gain, least of a view", *(f"{gains(one).min():+.2f} dB" for one in measured)],
        ["measured / expected residual, all pixels", *(ratio_text(one.measured, one.expected) for one in measured)],
        *(
            [
                f"– tenth {number + 1}",
                *(ratio_text(one.bins()[1][[number]], one.bins()[0][[number]]) for one in measured),
            ]
            for number in range(BINS)
        ),
        ["object's pixels that no training view sees", *(f"{(one.seen == 0).mean():.2%}" for one in measured)],
    ]
    return (
        f"## Reliability of references\n\n`python -m bench.measure.reliability` on "
        f"{', '.join(one.name for one in measured)}: {where}\n\n"
        f"{markdown_table(['', *(one.name for one in measured)], rows)}\n\n![Measured against expected residuals]"
        f"({picture})\n\nPoses are the views' own. The object's pixels are sorted by expected residual and cut into "
        "tenths; ratios are of root mean squares. Half of the held-out views calibrate what the other half measures."
    )


def gains(one: Reliability) -> np.ndarray:
    """Return by how many dB the correction improves each held-out view: (views,)."""
    return np.array(one.corrected) - np.array(one.plain)


def ratio_text(measured: np.ndarray, expected: np.ndarray) -> str:
    """Format the ratio of two root mean squares.

    >>> ratio_text(np.array([0.02, 0.02]), np.array([0.01, 0.01]))
    '2.00'
    """
    return f"{root_mean(measured) / root_mean(expected):.2f}"


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
