"""``part.html``: one self-contained page about one specimen of which there are several photos."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from report.heatmap import HeatScale, heat_colours, heat_opacity
from report.template import load_template, read_assets
from utils.checkpoint import write_text
from utils.images import to_data_url
from utils.text import format_number

SIDE = 400  # pixels of an image's longer side in the page
UNSEEN, ONCE, TWICE = (178, 84, 72), (226, 186, 96), (104, 160, 124)  # RGB of points by how many photos show them
STEPS = 32_000  # to which coordinates are rounded, from the middle of the cloud to its rim


@dataclass(frozen=True)
class Cloud:
    """The object's surface, as the page lets one turn it."""

    points: np.ndarray  # (points, 3) world
    normals: np.ndarray  # (points, 3)
    colours: np.ndarray  # (points, 3) RGB in [0, 1]
    spacing: float  # scene units between neighbours
    score: np.ndarray  # (points,) anomaly; NaN where no photo shows the point
    times_seen: np.ndarray  # (points,)
    threshold: float


@dataclass(frozen=True)
class PagePhoto:
    """A photo on the page."""

    name: str
    image: np.ndarray  # (height, width, 3) uint8
    heat_map: np.ndarray  # (height, width, 3) uint8
    verdict: str
    p_value: float
    counted: bool
    repeated: bool  # whether it does not count because it is the same as one before
    camera: tuple[float, float, float]  # world


@dataclass(frozen=True)
class PageDefect:
    """A defect on the page."""

    kind: str
    centre: tuple[float, float, float]
    normal: tuple[float, float, float]
    extent: float
    p_value: float
    confirmed_by: Sequence[str]
    seen_by: Sequence[str]


@dataclass(frozen=True)
class PageView:
    """The view to photograph next."""

    image: np.ndarray  # (height, width, 3) uint8
    camera: tuple[float, float, float]
    azimuth: float  # degrees
    elevation: float
    gain: float  # share of the surface


@dataclass(frozen=True)
class PartPage:
    """All that the page shows."""

    name: str
    object_name: str
    verdict: str
    p_value: float
    anomaly_score: float
    seen_share: float
    seen_twice_share: float
    seen_well_share: float
    cloud: Cloud
    defects: Sequence[PageDefect]
    photos: Sequence[PagePhoto]
    next_view: PageView | None
    remark: str = ""


def write_part_page(path: Path, page: PartPage) -> None:
    """Write the page atomically."""
    photos = [
        {
            "name": photo.name,
            "number": number,
            "verdict": photo.verdict,
            "p_value": format_probability(photo.p_value),
            "counted": photo.counted,
            "repeated": photo.repeated,
            "image": to_data_url(photo.image, SIDE),
            "heat_map": to_data_url(photo.heat_map, SIDE),
            "width": photo.image.shape[1],
            "height": photo.image.shape[0],
        }
        for number, photo in enumerate(page.photos, 1)
    ]
    defects = [{**asdict(each), "p_value": format_probability(each.p_value)} for each in page.defects]
    view = page.next_view
    text = load_template("part.html").render(
        page=page,
        p_value=format_probability(page.p_value),
        score=format_number(page.anomaly_score),
        threshold=format_number(page.cloud.threshold),
        counted=sum(photo.counted for photo in page.photos),
        photos=photos,
        defects=defects,
        view_image=None if view is None else to_data_url(view.image, SIDE),
        scene=json.dumps(scene_of(page)).replace("<", "\\u003c"),
        style=read_assets("report.css", "part.css"),
        script=read_assets("part.js"),
    )
    write_text(path, text)


def format_probability(value: float) -> str:
    """Format a p-value.

    >>> format_probability(0.0312), format_probability(3.2e-7)
    ('0.0312', '< 0.0001')
    """
    return "< 0.0001" if value < 1e-4 else format_number(value)


def scene_of(page: PartPage) -> dict[str, Any]:
    """Return what the script draws, as JSON can hold it."""
    cloud = page.cloud
    places = cloud.points.astype(np.float64)
    low, high = (places.min(0), places.max(0)) if len(places) else (np.zeros(3), np.ones(3))
    middle = (low + high) / 2
    radius = max(float(np.linalg.norm(places - middle, axis=1).max(initial=0.0)), 1e-6)
    view = page.next_view
    return {
        "count": len(places),
        "middle": middle.tolist(),
        "radius": radius,
        "spacing": cloud.spacing,
        "points": packed(((places - middle) / radius * STEPS).round().astype("<i2")),
        "normals": packed((cloud.normals * 127).round().astype(np.int8)),
        "colours": {name: packed(colours) for name, colours in shades(cloud).items()},
        "defects": [
            {"centre": each.centre, "extent": each.extent, "view": (middle + np.array(each.normal)).tolist()}
            for each in page.defects
        ],
        "cameras": [photo.camera for photo in page.photos if photo.counted],
        "numbers": [number for number, photo in enumerate(page.photos, 1) if photo.counted],
        "next": None if view is None else view.camera,
    }


def shades(cloud: Cloud) -> dict[str, np.ndarray]:
    """Return RGB (points, 3) uint8 of the points by what is to be seen: defects, how often seen, the object itself."""
    plain = (np.clip(cloud.colours, 0, 1) * 255).round()
    grey = 110.0 + plain.mean(1, keepdims=True) * 0.5
    scale = HeatScale(0.0, 2.0 * cloud.threshold)
    values = np.nan_to_num(cloud.score) / scale.high
    opacity = heat_opacity(values)[:, None]
    heat = grey * (1 - opacity) + heat_colours(np.clip(values, 0, 1)) * opacity
    levels = np.array([UNSEEN, ONCE, TWICE], float)[np.minimum(cloud.times_seen, 2)]
    seen = levels * (0.8 + 0.4 * plain.mean(1, keepdims=True) / 255.0)
    return {"defects": bytes_of(heat), "seen": bytes_of(seen), "object": bytes_of(plain)}


def bytes_of(colours: np.ndarray) -> np.ndarray:
    """Round colours in [0, 255] to uint8."""
    return np.clip(np.round(colours), 0, 255).astype(np.uint8)


def packed(array: np.ndarray) -> str:
    """Return the bytes of an array as base64."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
