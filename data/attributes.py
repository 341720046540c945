"""``python -m data attributes``: shape complexity and colour contrast of objects (arXiv:2310.07716, section 3.2).

Shape complexity is the number of triangles, scaled to 0-100 over the set of objects, as in the paper's table. Colour
contrast follows the paper's seven steps: Lab, the standard deviations of a and of b, the root of the sum of their
squares. The values that the paper prints are not those of these steps: its black objects on white have the highest
contrast of all (Zalika 86.3, Owl 74.6) although their a and b hardly vary. They are close to the standard deviation of
the lightness L over whole 8-bit images, so that is measured too.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from tabulate import tabulate

from data.folders import find_object, images_in, in_threads, read_json
from data.mad import GOOD
from data.masks import read_cut_out
from data.synthetic.config import RECORD_NAME, toy_path
from data.synthetic.toys import count_triangles, read_toy
from utils.checkpoint import write_text
from utils.errors import InputError
from utils.images import prepare
from utils.progress import Progress

MESHES = (".ply", ".obj", ".stl", ".off", ".glb", ".gltf")
MODELS = (".ldr", ".mpd")
BACKGROUNDS = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0)}
PUBLISHED = Path(__file__).parents[1] / "baselines/published/mad_object_attributes.csv"  # the paper's two tables
LARGEST = 4096  # pixels of the longer side to which larger images are averaged down
HEADS = ("object", "triangles", "complexity", "contrast a,b", "contrast L", "paper's complexity", "paper's contrast")


@dataclass(frozen=True)
class Contrast:
    """Contrast in units of OpenCV's 8-bit Lab: L times 2.55, a and b as they are."""

    colour: float  # root of the sum of the variances of a and b
    lightness: float  # standard deviation of L


@dataclass(frozen=True)
class Attributes:
    """Attributes of one object; None where unknown."""

    object_name: str
    triangles: int | None
    shape_complexity: float | None  # 0 to 100 over the set
    colour_contrast: float
    lightness_contrast: float
    published_complexity: float | None  # as printed in the paper
    published_contrast: float | None


def run_attributes(args: argparse.Namespace) -> int:
    """Print the attributes of the objects on the command line."""
    background, progress = BACKGROUNDS[args.background], Progress(args.quiet)
    contrasts = {
        folder.name: measure_contrast(folder, background, progress) for folder in map(find_object, args.objects)
    }
    meshes = dict(args.mesh)
    triangles = {folder.name: triangles_of(folder, meshes.get(folder.name)) for folder in args.objects}
    rows = attributes(triangles, contrasts)
    cells = [list(asdict(row).values()) for row in rows]
    print(tabulate(cells, HEADS, tablefmt="plain", floatfmt=".2f", missingval="-", disable_numparse=[0]))
    for path, text in (
        (args.csv, attributes_csv(rows)),
        (args.json, json.dumps([asdict(row) for row in rows], indent=1)),
    ):
        if path is not None:
            write_text(path, text + "\n")
    return 0


def attributes(triangles: Mapping[str, int | None], contrasts: Mapping[str, Contrast]) -> list[Attributes]:
    """Return the attributes of a set of objects from their numbers of triangles and their contrasts."""
    printed = read_published_attributes()
    known = {name: count for name, count in triangles.items() if count is not None}
    complexity = dict(zip(known, shape_complexity(list(known.values()))))
    return [
        Attributes(
            name,
            triangles.get(name),
            complexity.get(name),
            contrast.colour,
            contrast.lightness,
            *printed.get(name.lstrip("0123456789"), (None, None)),  # "01Gorilla" is printed as "Gorilla"
        )
        for name, contrast in contrasts.items()
    ]


def shape_complexity(triangles: list[int]) -> list[float | None]:
    """Scale numbers of triangles to 0-100 over the set; None where all are equal.

    >>> shape_complexity([1000, 3000, 2000])
    [0.0, 100.0, 50.0]
    """
    least, most = min(triangles, default=0), max(triangles, default=0)
    if least == most:
        return [None] * len(triangles)
    return [100.0 * (count - least) / (most - least) for count in triangles]


def measure_contrast(object_dir: Path, background: tuple[float, float, float], progress: Progress) -> Contrast:
    """Measure an object's contrast: the mean over its normal views, cut out and put on ``background``."""
    folder = object_dir / "train" / GOOD
    paths = images_in(folder)
    if not paths:
        raise InputError(f"There are no images in {folder}; name folders of objects in the MAD layout.")

    def read(path: Path) -> tuple[float, float]:
        image, _ = prepare(read_cut_out(path, object_dir), LARGEST, background)
        contrast = contrast_of((image * 255.0).round().astype(np.uint8))
        return contrast.colour, contrast.lightness

    views = list(progress.track(in_threads(read, paths), object_dir.name, len(paths)))
    colour, lightness = np.mean(views, axis=0)
    return Contrast(float(colour), float(lightness))


def contrast_of(image: np.ndarray) -> Contrast:
    """Return the contrast of one image (height, width, 3) uint8 RGB."""
    lightness, a, b = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64).std(axis=0)
    return Contrast(float(np.hypot(a, b)), float(lightness))


def triangles_of(object_dir: Path, mesh: Path | None) -> int | None:
    """Count an object's triangles: those of ``mesh``, else of its folder's mesh file, else of the generated toy."""
    beside = [object_dir / f"mesh{suffix}" for suffix in MESHES + MODELS]
    path = mesh or next((path for path in beside if path.is_file()), None)
    if path is None:
        return toy_triangles(object_dir)
    if not path.is_file():
        raise InputError(f"There is no mesh {path}; correct --mesh.")
    return count_triangles(read_toy(path)) if path.suffix.lower() in MODELS else mesh_triangles(path)


def mesh_triangles(path: Path) -> int:
    """Count the triangles of a mesh file."""
    import trimesh  # noqa: PLC0415  slow, needed for meshes only

    if path.suffix.lower() not in MESHES:
        raise InputError(f"{path} must be a mesh ({', '.join(MESHES + MODELS)}), found {path.suffix!r}; convert it.")
    try:
        count = len(np.asarray(getattr(trimesh.load(path, force="mesh", process=False), "faces", ())))
    except Exception as error:  # its readers let any error through
        raise InputError(
            f"The mesh {path} cannot be read ({type(error).__name__}: {error}); export it again."
        ) from None
    if not count:
        raise InputError(f"The mesh {path} has no triangles; export it again.")
    return count


def toy_triangles(object_dir: Path) -> int | None:
    """Count the triangles of the toy in a generated folder; None for other folders."""
    path = object_dir / RECORD_NAME
    if not path.is_file():
        return None
    settings = read_json(path)
    toy = settings.get("toy") if isinstance(settings, dict) else None
    if not isinstance(toy, str):
        raise InputError(f"{path} must name the toy, found {toy!r}; generate the object again.")
    ldraw = settings.get("ldraw")
    return count_triangles(read_toy(toy_path(toy), Path(ldraw) if isinstance(ldraw, str) and ldraw else None))


def read_published_attributes() -> dict[str, tuple[float, float]]:
    """Return the paper's shape complexity and colour contrast by class name without its number."""
    rows = csv.DictReader(io.StringIO(PUBLISHED.read_text(encoding="utf-8")))
    return {row["object"]: (float(row["shape_complexity"]), float(row["color_contrast"])) for row in rows}


def attributes_csv(rows: list[Attributes]) -> str:
    """Return the attributes as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [entry.name for entry in fields(Attributes)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return buffer.getvalue().rstrip("\n")
