"""How sharp a field is, and what it costs: PSNR and SSIM of views that it was not trained on, for several settings.

python -m bench.measure.sharpness data/LEGO-3D/01Gorilla chair=chair_test --variant spread=0 --variant residual_views=0
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from kornia.metrics import ssim

from bench.measure.results_page import add_page_options, describe_measurement, refuse_dirty_tree, write_section
from bench.typeset import markdown_table
from data.mad import load_views
from evaluation.metrics import psnr
from nerf.settings import FieldConfig
from nerf.voxel.field import VoxelField
from nerf.voxel.train import train_voxel_field
from pipeline.config import Config
from utils.config import Parser, values_of
from utils.device import environment, pick_device
from utils.errors import InputError, exit_code_of
from utils.progress import Progress
from utils.run_context import RunContext
from utils.views import Views, split_held_out

HEAD = ["object", "settings", "PSNR, dB", "SSIM", "field alone, dB", "training", "rendering", "vertices"]
TIMED = 5  # renderings of each view, of which the fastest counts


@dataclass(frozen=True)
class Scene:
    """The views that a field is trained on, and those that it is measured by."""

    name: str
    train: Views
    held_out: Views

    @staticmethod
    def read(place: str, config: Config) -> Scene:
        """Read ``TRAIN_DIR``, of which every ``val_every``-th view is held out, or ``TRAIN_DIR=TEST_DIR``."""
        folder, _, other = place.partition("=")
        views = load_views(Path(folder), config.image_size, config.background_rgb)
        if other:
            return Scene(Path(folder).name, views, load_views(Path(other), config.image_size, config.background_rgb))
        train, held_out = (views.subset(rows) for rows in split_held_out(len(views), config.val_every))
        return Scene(Path(folder).name, train, held_out)


def main(argv: list[str]) -> int:
    """Measure every scene with every variant; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", nargs="+", metavar="TRAIN_DIR[=TEST_DIR]", help="folders with posed views")
    parser.add_argument(
        "--variant", action="append", default=[], metavar="KEY=VALUE,...", help="settings of the field to try, too"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    add_page_options(parser, "sharpness")
    args = parser.parse_args(argv)
    refuse_dirty_tree(args)
    variants = {"default": FieldConfig(), **{text: variant_config(text) for text in args.variant}}
    config, context = Config(), RunContext(pick_device(args.device), progress=Progress(args.quiet))
    where = describe_measurement(environment(context.device), values_of(config), "")
    head, rows = f"## Sharpness of the field\n\n`python -m bench.measure.sharpness`: {where}", []
    for place in args.scenes:
        scene = Scene.read(place, config)
        rows += [[scene.name, name, *measure(scene, variant, context)] for name, variant in variants.items()]
        write_section(args.page, args.section, f"{head}\n\n{markdown_table(HEAD, rows)}")  # now: the next may fail
    print(f"Table: {args.page}")
    return 0


def variant_config(text: str) -> FieldConfig:
    """Return the default settings of the field with ``KEY=VALUE,...`` in place of some.

    Raises:
        InputError: for a key that the field has not, or a value of another type.
    """
    config = FieldConfig()
    for pair in text.split(","):
        key, _, value = pair.partition("=")
        old = getattr(config, key, None)
        if not isinstance(old, (int, float)):
            raise InputError(f"--variant expects numbers of {FieldConfig.__name__}, as in spread=0, found {pair!r}.")
        try:
            config = replace(config, **{key: type(old)(value)})  # type: ignore[arg-type]
        except ValueError as error:
            raise InputError(f"--variant {key} must be of type {type(old).__name__}, found {value!r}.") from error
    return config


def measure(scene: Scene, config: FieldConfig, context: RunContext) -> list[str]:
    """Train a field and return the cells of its row."""
    start = time.perf_counter()
    field = train_voxel_field(scene.train, config, context, None)
    seconds = time.perf_counter() - start
    quality = [view_quality(scene.held_out, index, field) for index in range(len(scene.held_out))]
    means = torch.tensor(quality, dtype=torch.float64).mean(0).tolist()
    milliseconds = 1000 * rendering_seconds(scene.held_out, field)
    return [
        f"{means[0]:.2f}", f"{means[1]:.4f}", f"{means[2]:.2f}", f"{seconds:.1f} s", f"{milliseconds:.1f} ms",
        f"{field.grid.vertices / 1e6:.2f} M",
    ]  # fmt: skip


def view_quality(views: Views, index: int, field: VoxelField) -> Sequence[float]:
    """Return PSNR and SSIM of a view as the field shows it for comparison, and the PSNR of the plain rendering."""
    truth, pose = views.image(index), views.camera_to_world[index]
    image = field.render_reference(pose, views.intrinsics).colour.cpu()
    one, other = (part.permute(2, 0, 1)[None] for part in (image, truth))
    plain = field.render(pose, views.intrinsics).colour.cpu()
    return psnr(image, truth), float(ssim(one, other, window_size=11).mean()), psnr(plain, truth)


def rendering_seconds(views: Views, field: VoxelField) -> float:
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
