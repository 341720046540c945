"""``python -m data attributes``: shape complexity and colour contrast of objects (arXiv:2310.07716, section 3.2).

Shape complexity is the number of triangles, mapped to 0-100 over the set: the least becomes 0, the most 100, as in the
paper's table. Colour contrast follows the paper's seven steps: Lab, the standard deviations of a and of b, the root of
the sum of their squares. The values that the paper prints do not come from these steps: its black objects on white have
the highest contrast of all (Zalika 86.3, Owl 74.6) though their a and b hardly vary. They are near the standard
deviation of the lightness L over whole 8-bit pictures, which is why that stands beside; ``--check`` compares all
readings with the printed values.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch

from data.command import command_parser
from data.folders import GOOD, find_object, images_in, in_threads, read_json
from data.masks import read_cut_out
from data.synthetic.files import SETTINGS_NAME
from data.synthetic.toys import read_toy, toy_path, triangles
from utils.checkpoint import write_text
from utils.errors import InputError
from utils.hull import silhouette
from utils.images import prepare
from utils.progress import Progress

MEASURES, REGIONS, SCALINGS = ("ab", "lightness"), ("whole", "foreground"), ("8bit", "cie")
READINGS = tuple(itertools.product(MEASURES, REGIONS, SCALINGS))
MESHES = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf")
MODELS = (".ldr", ".mpd")
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
PUBLISHED = Path(__file__).parents[1] / "baselines/published/mad_object_attributes.csv"  # the paper's two tables
LARGEST = 4096  # pixels of the longer side to which larger pictures are averaged down


@dataclass(frozen=True)
class Attributes:
    """What is known of one object; None where it is not."""

    object_name: str
    triangles: int | None
    shape_complexity: float | None  # 0 to 100 over the set
    colour_contrast: float  # of a and b
    lightness_contrast: float  # of L
    published_complexity: float | None  # as the paper prints it
    published_contrast: float | None


def main(arguments: list[str]) -> int:
    """Print the attributes of the objects that the command line names."""
    parser = command_parser("attributes", __doc__.splitlines()[0].split(": ", 1)[1])
    parser.add_argument("objects", nargs="+", type=Path, help="folders of objects")
    parser.add_argument("--region", choices=REGIONS, default="whole", help="where colours are looked at")
    parser.add_argument(
        "--scaling", choices=SCALINGS, default="8bit", help="Lab as OpenCV scales 8-bit pictures, or CIE's"
    )
    parser.add_argument("--background", choices=BACKGROUNDS, default="white", help="colour behind the objects")
    parser.add_argument("--mesh", action="append", default=[], type=_mesh, help="OBJECT=FILE: a mesh or LDraw model")
    parser.add_argument("--csv", type=Path, help="write the table to this file")
    parser.add_argument("--json", type=Path, help="write the table to this file")
    parser.add_argument("--check", action="store_true", help="compare all readings with the paper's printed values")
    given = parser.parse_args(arguments)
    contrasts = {
        folder.name: contrasts_of(folder, BACKGROUNDS[given.background], Progress(given.quiet))
        for folder in map(find_object, given.objects)
    }
    if given.check:
        print(check(contrasts))
        return 0
    meshes = dict(given.mesh)
    triangles = {folder.name: triangles_of(folder, meshes.get(folder.name)) for folder in given.objects}
    rows = attributes(triangles, contrasts, given.region, given.scaling)
    print(table(rows))
    for path, text in ((given.csv, as_csv(rows)), (given.json, json.dumps([asdict(row) for row in rows], indent=1))):
        if path is not None:
            write_text(path, text + "\n")
    return 0


def _mesh(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"must read OBJECT=FILE, found {text!r}")
    return name, Path(path)


def attributes(
    triangles: dict[str, int | None],
    contrasts: dict[str, dict[tuple[str, str, str], float]],
    region: str = "whole",
    scaling: str = "8bit",
) -> list[Attributes]:
    """The attributes of a set of objects, from their triangles and all readings of their contrast."""
    printed = published()
    known = {name: count for name, count in triangles.items() if count is not None}
    complexity = dict(zip(known, shape_complexity(list(known.values()))))
    return [
        Attributes(
            name,
            triangles.get(name),
            complexity.get(name),
            readings["ab", region, scaling],
            readings["lightness", region, scaling],
            *printed.get(_plain(name), (None, None)),
        )
        for name, readings in contrasts.items()
    ]


def shape_complexity(triangles: list[int]) -> list[float | None]:
    """Numbers of triangles mapped to 0-100 over the set; None where all are equal, which tells nothing.

    >>> shape_complexity([1000, 3000, 2000])
    [0.0, 100.0, 50.0]
    """
    least, most = min(triangles, default=0), max(triangles, default=0)
    if least == most:
        return [None] * len(triangles)
    return [100.0 * (count - least) / (most - least) for count in triangles]


def contrasts_of(
    object_dir: Path, background: tuple[float, float, float], progress: Progress
) -> dict[tuple[str, str, str], float]:
    """All readings of an object's contrast by (measure, region, scaling), each the mean over its normal views."""
    folder = object_dir / "train" / GOOD
    paths = images_in(folder) if folder.is_dir() else []
    if not paths:
        raise InputError(f"There are no PNG or JPEG pictures in {folder}; name folders of objects in the MAD layout.")

    def read(path: Path) -> list[float]:
        colour, alpha = prepare(read_cut_out(path, object_dir), LARGEST, background)
        picture = (colour * 255.0).round().astype(np.uint8)
        own = None if alpha is None else torch.from_numpy((alpha * 255.0).round().astype(np.uint8))
        foreground = silhouette(torch.from_numpy(picture), background, own)
        regions = {"whole": np.ones_like(foreground), "foreground": foreground}
        return [contrast(picture, regions[region], measure, scaling) for measure, region, scaling in READINGS]

    views = list(progress.track(in_threads(read, paths), object_dir.name, len(paths)))  # (views, readings)
    return {reading: float(value) for reading, value in zip(READINGS, np.mean(views, axis=0))}


def contrast(picture: np.ndarray, region: np.ndarray, measure: str, scaling: str) -> float:
    """The contrast of one picture.

    Args:
        picture: (height, width, 3) uint8 RGB.
        region: (height, width) bool, where it is looked at.
        measure: "ab" for the root of the sum of the variances of a and b, "lightness" for L's standard deviation.
        scaling: "8bit" as OpenCV converts 8-bit pictures (L times 2.55, a and b plus 128), "cie" for L in 0-100.
    Returns:
        0 for an empty region.
    """
    if not region.any():
        return 0.0
    source = picture if scaling == "8bit" else picture.astype(np.float32) / 255.0
    deviations = cv2.cvtColor(source, cv2.COLOR_RGB2LAB)[region].astype(np.float64).std(axis=0)  # (3,) of L, a, b
    return float(deviations[0] if measure == "lightness" else np.hypot(deviations[1], deviations[2]))


def triangles_of(object_dir: Path, mesh: Path | None) -> int | None:
    """How many triangles an object has: of ``mesh``, else of its folder's mesh file, else of the generated toy."""
    beside = [object_dir / f"mesh{suffix}" for suffix in MESHES + MODELS]
    path = mesh or next((path for path in beside if path.is_file()), None)
    if path is None:
        return toy_triangles(object_dir)
    if not path.is_file():
        raise InputError(f"There is no mesh {path}; correct --mesh.")
    return _model_triangles(path, None) if path.suffix.lower() in MODELS else mesh_triangles(path)


def mesh_triangles(path: Path) -> int:
    """How many triangles a mesh file has."""
    import trimesh

    if path.suffix.lower() not in MESHES:
        raise InputError(f"{path} must be a mesh ({', '.join(MESHES + MODELS)}), found {path.suffix!r}; convert it.")
    try:
        count = len(np.asarray(getattr(trimesh.load(path, force="mesh", process=False), "faces", ())))
    except Exception as error:  # its readers raise whatever their parsing meets
        raise InputError(
            f"The mesh {path} cannot be read ({type(error).__name__}: {error}); export it again."
        ) from None
    if not count:
        raise InputError(f"The mesh {path} has no triangles; export it again.")
    return count


def toy_triangles(object_dir: Path) -> int | None:
    """How many triangles the toy of a generated folder has; None for other folders."""
    path = object_dir / SETTINGS_NAME
    if not path.is_file():
        return None
    settings = read_json(path)
    toy = settings.get("toy") if isinstance(settings, dict) else None
    if not isinstance(toy, str):
        raise InputError(f"{path} must name the toy, found {toy!r}; generate the object again.")
    ldraw = settings.get("ldraw")
    return _model_triangles(toy_path(toy), Path(ldraw) if isinstance(ldraw, str) and ldraw else None)


def _model_triangles(path: Path, ldraw: Path | None) -> int:
    return triangles(read_toy(path, ldraw))


def published() -> dict[str, tuple[float, float]]:
    """The paper's values by class name without its number: shape complexity, colour contrast."""
    rows = csv.DictReader(io.StringIO(PUBLISHED.read_text(encoding="utf-8")))
    return {row["object"]: (float(row["shape_complexity"]), float(row["color_contrast"])) for row in rows}


def _plain(name: str) -> str:
    """A class's name without its number.

    >>> _plain("01Gorilla")
    'Gorilla'
    """
    return name.lstrip("0123456789")


def check(contrasts: dict[str, dict[tuple[str, str, str], float]]) -> str:
    """How near each reading comes to the printed values, over the objects that the paper lists."""
    from scipy.stats import pearsonr, spearmanr

    printed = published()
    names = [name for name in contrasts if _plain(name) in printed]
    if len(names) < 3:
        raise InputError(f"--check needs at least 3 folders called as MAD's classes, found {len(names)}; name more.")
    wanted = np.array([printed[_plain(name)][1] for name in names])
    lines = [
        f"{'measure':10} {'region':11} {'scaling':8} {'least':>7} {'most':>7} {'RMS':>7} {'Pearson':>8} {'Spearman':>9}"
    ]
    for reading in READINGS:
        found = np.array([contrasts[name][reading] for name in names])
        rms = float(np.sqrt(np.mean((found - wanted) ** 2)))
        linear, ranks = (
            float(test(found, wanted)[0]) if np.ptp(found) else float("nan") for test in (pearsonr, spearmanr)
        )
        head = "{:10} {:11} {:8}".format(*reading)
        lines.append(f"{head} {found.min():7.2f} {found.max():7.2f} {rms:7.2f} {linear:8.3f} {ranks:9.3f}")
    return "\n".join([*lines, f"{len(names)} objects; printed values {wanted.min():.2f} to {wanted.max():.2f}"])


def table(rows: list[Attributes]) -> str:
    """The attributes, one object a line."""
    heads = [
        "object",
        "triangles",
        "complexity",
        "contrast a,b",
        "contrast L",
        "paper's complexity",
        "paper's contrast",
    ]
    cells = [heads] + [[_cell(getattr(row, entry.name)) for entry in fields(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in cells)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def as_csv(rows: list[Attributes]) -> str:
    """The attributes as a CSV file with a head."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([entry.name for entry in fields(Attributes)])
    writer.writerows([["" if value is None else value for value in asdict(row).values()] for row in rows])
    return buffer.getvalue().rstrip("\n")
