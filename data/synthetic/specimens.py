"""Specimens of a toy: several photos of one and the same toy, good or with one defect, from all around.

``specimens/<kind>/<number>/<photo>.png`` are the photos. ``specimens_truth/<kind>/<number>.json`` has their poses, how
much of the defect each shows, and where it lies; only measurements may read it.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.folders import read_json
from data.mad_facts import DEFECTS
from data.synthetic.config import GOOD, DatasetJob, ImageSpec, SpecimenConfig, ToyConfig
from data.synthetic.defects import Defect, draw_areas
from data.synthetic.generate import claim_folder, record_of, write_json
from data.synthetic.toy_renderer import ToyRenderer, find_defect, make_renderer
from data.synthetic.viewpoints import TOP_ELEVATION, camera_at
from utils.errors import InputError
from utils.images import write_png
from utils.progress import Progress

FOLDER, TRUTH_FOLDER = "specimens", "specimens_truth"  # in an object's folder


@dataclass(frozen=True)
class Specimen:
    """One toy of a set."""

    kind: str  # good, or a defect type
    number: int

    @property
    def name(self) -> str:
        """Return a name such as ``Burrs/0``."""
        return f"{self.kind}/{self.number}"

    def truth_path(self, folder: Path) -> Path:
        """Return the file of what is true of it, which is written last."""
        return folder / TRUTH_FOLDER / f"{self.name}.json"


@dataclass(frozen=True)
class SpecimenTruth:
    """What is true of a specimen; for measurements only."""

    kind: str  # good, or a defect type
    number: int
    photos: tuple[Path, ...]
    visible: tuple[float, ...]  # share of the frame on which each photo shows the defect
    centre: tuple[float, float, float] | None  # where the defect lies, world


def read_specimen_truths(object_dir: Path) -> list[SpecimenTruth]:
    """Read what is true of all specimens of an object's folder, in the order of their kinds and numbers.

    Raises:
        InputError: where there are none, or a file is damaged.
    """
    found = []
    for path in sorted(
        (object_dir / TRUTH_FOLDER).glob("*/*.json"), key=lambda path: (path.parent.name, int(path.stem))
    ):
        content = read_json(path)
        try:
            visible, centre = tuple(map(float, content["visible"])), content["centre"]
            photos = tuple(
                object_dir / FOLDER / path.parent.name / path.stem / f"{one}.png" for one in range(len(visible))
            )
            place = None if centre is None else (float(centre[0]), float(centre[1]), float(centre[2]))
            found.append(SpecimenTruth(path.parent.name, int(path.stem), photos, visible, place))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{path} does not say what a specimen shows ({error!r}); generate it again.") from None
    if not found:
        raise InputError(f"{object_dir} has no specimens; make some with python -m data generate --specimens.")
    return found


def generate_specimens(
    jobs: Sequence[DatasetJob],
    wanted: SpecimenConfig,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the photos of specimens; what is there is kept.

    The same settings give the same bytes, whatever the number of workers and of specimens.

    Args:
        jobs: sets and their folders.
        wanted: how many specimens and photos.
        workers: processes that render.
        overwrite: render what is there again.
        progress: shows a bar; none by default.
    Raises:
        InputError: for a folder whose specimens were made with other settings.
    """
    names = [Specimen(kind, number) for kind in (GOOD, *DEFECTS) for number in range(wanted.specimens)]
    for job in jobs if names else ():
        record = {key: value for key, value in record_of(job.config).items() if key not in ("views", "queries", "good")}
        claim_folder(job.folder / FOLDER, {**record, "photos": wanted.specimen_photos})
    left = [(job, one) for job in jobs for one in names if overwrite or not one.truth_path(job.folder).is_file()]
    bar = (progress or Progress(quiet=True)).bar("specimens", len(left), "specimen")
    with bar:
        for _ in _written(left, wanted.specimen_photos, workers):
            bar.update()


def _written(left: Sequence[tuple[DatasetJob, Specimen]], photos: int, workers: int) -> Iterator[None]:
    """Write specimens, here or in other processes, and yield when one is done."""
    if workers == 1 or len(left) < 2:
        for job, one in left:
            write_specimen(job.config, job.folder, one, photos)
            yield
        return
    pool = ProcessPoolExecutor(min(workers, len(left)), get_context("spawn"), torch.set_num_threads, (1,))
    try:
        waiting = [pool.submit(write_specimen, job.config, job.folder, one, photos) for job, one in left]
        for future in as_completed(waiting):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def write_specimen(config: ToyConfig, folder: Path, specimen: Specimen, photos: int) -> None:
    """Write the photos of one specimen, then what is true of them."""
    renderer = make_renderer(replace(config, views=1, queries=0, good=0))
    random = np.random.default_rng([config.seed, zlib.crc32(f"specimens/{specimen.name}".encode())])
    defect, visible = Defect(), []
    if specimen.kind in DEFECTS:
        area = float(draw_areas(specimen.kind, 1, random)[0])
        _, defect = find_defect(renderer, specimen.kind, area, random)
    poses = cameras_around(photos, random)
    for number, pose in enumerate(poses):
        spec = ImageSpec(f"{FOLDER}/{specimen.name}", number)
        rendered = renderer.render(pose, defect, int(random.integers(2**31)), spec)
        write_png(folder / FOLDER / specimen.name / f"{number}.png", rendered.image)
        visible.append(float(rendered.mask.mean()))
    truth = {"poses": [pose.tolist() for pose in poses], "visible": visible, "centre": centre_of(renderer, defect)}
    write_json(specimen.truth_path(folder), truth)


def cameras_around(count: int, random: np.random.Generator) -> list[Tensor]:
    """Return ``count`` camera_to_world (4, 4), spread evenly around the toy and turned at random, in random order."""
    limit, golden = math.sin(math.radians(TOP_ELEVATION)), math.pi * (1.0 + math.sqrt(5.0))
    first, shift = random.uniform(0.0, 360.0), random.uniform(-0.5, 0.5)
    heights = limit * (1.0 - 2.0 * (np.arange(count) + 0.5 + 0.9 * shift) / count)
    azimuths = np.degrees(golden * (np.arange(count) + 0.5)) + first
    return [
        camera_at(math.degrees(math.asin(heights[one])), azimuths[one] % 360.0) for one in random.permutation(count)
    ]


def centre_of(renderer: ToyRenderer, defect: Defect) -> list[float] | None:
    """Return where a defect lies, (3,) world; None for none."""
    if defect.stain is not None:
        return defect.stain.centre.tolist()
    solid = defect.burr if defect.missing is None else renderer.model.solids[defect.missing]
    if solid is None:
        return None
    return ((solid.vertices.min(axis=0) + solid.vertices.max(axis=0)) / 2).tolist()
