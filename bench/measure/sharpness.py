"""How sharp a field is, and what it costs: PSNR and SSIM of views that it was not trained on, for several settings.

python -m bench.measure.sharpness data/LEGO-3D/01Gorilla chair=chair_test --variant "field_spread=0 field_steps=800"
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from kornia.metrics import ssim

from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.mad import load_views
from evaluation.metrics import psnr
from pipeline.config import Config, ConfigParser, parse
from pipeline.methods import field_method
from utils.config import Parser, values_of
from utils.device import environment, pick_device
from utils.errors import exit_code_of
from utils.progress import Progress
from utils.rendering import Field
from utils.run_context import RunContext
from utils.views import Views, split_held_out

HEAD = ["object", "settings", "PSNR, dB", "SSIM", "field alone, dB", "training", "rendering"]
TIMED = 5  # renderings of each view, of which the fastest counts


@dataclass(frozen=True)
class Scene:
    """The views that a field is trained on, and those that it is measured by."""

    train: Views
    held_out: Views

    @staticmethod
    def read(place: str, config: Config) -> Scene:
        """Read ``TRAIN_DIR``, of which every ``val_every``-th view is held out, or ``TRAIN_DIR=TEST_DIR``."""
        folder, _, other = place.partition("=")
        views = load_views(Path(folder), config.image_size, config.background_rgb)
        if other:
            return Scene(views, load_views(Path(other), config.image_size, config.background_rgb))
        train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.val_every))
        return Scene(train, held_out)


def main(argv: list[str]) -> int:
    """Measure every scene with every variant; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", nargs="+", metavar="TRAIN_DIR[=TEST_DIR]", help="folders with posed views")
    parser.add_argument(
        "--variant", action="append", default=[], metavar="'KEY=VALUE ...'", help="settings to measure, too"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_page_options(parser, "sharpness")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    variants = {text or "default": variant_config(text) for text in ("", *args.variant)}
    context = RunContext(pick_device(args.device), progress=Progress(args.quiet))
    where = describe_measurement(environment(context.device), values_of(Config()), "")
    head, rows = f"## Sharpness of the field\n\n`python -m bench.measure.sharpness`: {where}", []
    for place in args.scenes:
        name = Path(place.partition("=")[0]).name
        rows += [
            [name, text, *measure(Scene.read(place, config), config, context)] for text, config in variants.items()
        ]
        write_section(args.page, args.section, f"{head}\n\n{markdown_table(HEAD, rows)}")  # now: the next may fail
    print(f"Table: {args.page}")
    return 0


def variant_config(text: str) -> Config:
    """Return the default settings with ``KEY=VALUE ...`` in place of some; keys are those of the config files.

    Raises:
        InputError: for an unknown key or a wrong value.
    """
    return parse(ConfigParser(""), [f"--{pair}" for pair in text.split()])[0]


def measure(scene: Scene, config: Config, context: RunContext) -> list[str]:
    """Train a field and return the cells of its row."""
    start = time.perf_counter()
    field = field_method(config).train(scene.train, context, None)
    seconds = time.perf_counter() - start
    quality = [view_quality(scene.held_out, index, field) for index in range(len(scene.held_out))]
    means = torch.tensor(quality, dtype=torch.float64).mean(0).tolist()
    milliseconds = 1000 * rendering_seconds(scene.held_out, field)
    return [
        f"{means[0]:.2f}", f"{means[1]:.4f}", f"{means[2]:.2f}", f"{seconds:.1f} s", f"{milliseconds:.1f} ms",
    ]  # fmt: skip


def view_quality(views: Views, index: int, field: Field) -> Sequence[float]:
    """Return PSNR and SSIM of a view as the field shows it for comparison, and the PSNR of the plain rendering."""
    truth, pose = views.image(index), views.camera_to_world[index]
    image = field.render_reference(pose, views.intrinsics).colour.cpu()
    one, other = (part.permute(2, 0, 1)[None] for part in (image, truth))
    plain = field.render(pose, views.intrinsics).colour.cpu()
    return psnr(image, truth), float(ssim(one, other, window_size=11).mean()), psnr(plain, truth)


def rendering_seconds(views: Views, field: Field) -> float:
    """Return the median over the first views of the fastest of ``TIMED`` plain renderings."""
    fastest = []
    for pose in views.camera_to_world[:12]:
        times = []
        for _ in range(TIMED):
            start = time.perf_counter()
            field.render(pose, views.intrinsics).colour.cpu()
            times.append(time.perf_counter() - start)
        fastest.append(min(times))
    return float(torch.tensor(fastest).median())


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
