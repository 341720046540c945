"""Real lenses: rectifies images with OpenCV's distortion to one pinhole camera with a centred principal point."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from utils.camera import Intrinsics
from utils.errors import InputError

MAX_SHIFT = 0.05  # pixels by which an image may be off without being resampled
COEFFICIENT_COUNTS = (0, 1, 2, 4, 5, 8)  # how many distortion coefficients a lens may have
MAX_SIDE = 20_000  # pixels; more is a damaged file


@dataclass(frozen=True)
class Lens:
    """A pinhole camera with distortion, in pixels; pixel (0, 0) has its centre at (0.5, 0.5), as in COLMAP.

    ``distortion`` is in OpenCV's order: k1 k2 p1 p2 [k3 [k4 k5 k6]], or the four of its fisheye model.
    """

    width: int
    height: int
    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float
    distortion: tuple[float, ...] = ()
    fisheye: bool = False

    def checked(self, where: str) -> Lens:
        """Return this lens.

        Raises:
            InputError: naming ``where`` it was read, if it cannot be a camera.
        """
        numbers = (self.focal_x, self.focal_y, self.centre_x, self.centre_y, *self.distortion)
        if not all(math.isfinite(number) and abs(number) < 1e7 for number in numbers):
            raise InputError(f"The camera of {where} must be finite numbers, found {numbers}; write it again.")
        if not (0 < self.width <= MAX_SIDE and 0 < self.height <= MAX_SIDE):
            raise InputError(
                f"The camera of {where} must have 1 to {MAX_SIDE} pixels a side, found {self.width}x{self.height}."
            )
        if not 0.05 < min(self.focal_x, self.focal_y) / max(self.width, self.height) < 500:
            raise InputError(
                f"The focal length of {where} must be in pixels, found {self.focal_x:g} and {self.focal_y:g} for "
                f"{self.width}x{self.height} pixels; check its units."
            )
        return self

    def entry(self) -> dict[str, Any]:
        """Return the lens as ``transforms.json`` holds it under ``photo_camera``."""
        return {
            "w": self.width,
            "h": self.height,
            "fl_x": self.focal_x,
            "fl_y": self.focal_y,
            "cx": self.centre_x,
            "cy": self.centre_y,
            "distortion": list(self.distortion),
            "fisheye": self.fisheye,
        }

    @staticmethod
    def from_entry(entry: Any, where: str) -> Lens:
        """Return the lens that ``entry`` wrote.

        Raises:
            InputError: naming ``where`` it was read, if it is damaged.
        """
        try:
            width, height = int(entry["w"]), int(entry["h"])
            focal_x, focal_y, centre_x, centre_y = (float(entry[key]) for key in ("fl_x", "fl_y", "cx", "cy"))
            distortion = tuple(float(value) for value in entry["distortion"])
            lens = Lens(width, height, focal_x, focal_y, centre_x, centre_y, distortion, bool(entry["fisheye"]))
        except (TypeError, KeyError, ValueError, OverflowError) as error:
            raise InputError(
                f"photo_camera in {where} must hold w, h, fl_x, fl_y, cx, cy, distortion and fisheye, found "
                f"{str(entry)[:80]} ({type(error).__name__}); remove it, or import the photos again."
            ) from None
        if len(distortion) not in COEFFICIENT_COUNTS:
            raise InputError(
                f"distortion of photo_camera in {where} must have {', '.join(map(str, COEFFICIENT_COUNTS))} numbers, "
                f"found {len(distortion)}; import the photos again."
            )
        return lens.checked(where)

    def resized(self, width: int, height: int) -> Lens:
        """Return the same lens with its image resampled to ``width`` x ``height``."""
        if (width, height) == (self.width, self.height):
            return self
        x, y = width / self.width, height / self.height
        focal_x, focal_y, centre_x, centre_y = self.focal_x * x, self.focal_y * y, self.centre_x * x, self.centre_y * y
        return Lens(width, height, focal_x, focal_y, centre_x, centre_y, self.distortion, self.fisheye)


def same_shape(lens: Lens, size: tuple[int, int]) -> bool:
    """Return whether an image of ``size`` (width, height) has the lens's proportions, rounded to pixels."""
    return abs(size[0] * lens.height - size[1] * lens.width) <= 1.5 * max(*size, lens.width, lens.height)


def scale_lens(lens: Lens, size: tuple[int, int], path: Path) -> Lens:
    """Return ``lens`` for an image of ``size`` (width, height); an InputError names ``path`` for other proportions."""
    width, height = size
    if not same_shape(lens, size):
        raise InputError(
            f"The image {path} has {width}x{height} pixels, its camera {lens.width}x{lens.height}: not the same "
            f"proportions; turn the image upright as it was taken, or correct the camera."
        )
    return lens.resized(width, height)


def common_camera(lenses: Sequence[Lens], image_size: int) -> Intrinsics:
    """Return the pinhole camera to which all images are rectified: square pixels, centred principal point.

    It has the most frequent image size and the median focal length, averaged down to ``image_size`` pixels on the
    longer side; smaller images keep their size.
    """
    (width, height), _ = Counter((lens.width, lens.height) for lens in lenses).most_common(1)[0]
    focal = float(np.median([0.5 * (lens.focal_x + lens.focal_y) * width / lens.width for lens in lenses]))
    scale = min(1.0, image_size / max(width, height))
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    return Intrinsics(columns, rows, focal * columns / width, focal * columns / width, 0.5 * columns, 0.5 * rows)


def rectify(image: np.ndarray, lens: Lens, camera: Intrinsics, fill: int | np.ndarray) -> np.ndarray:
    """Return an image of ``lens`` as ``camera`` would have taken it from the same place.

    Args:
        image: (lens.height, lens.width, 3 or 4) uint8; a fourth channel is alpha.
        fill: 8-bit grey or RGB (3,) of pixels that the lens did not see; their alpha is 0.
    Returns:
        (camera.height, camera.width, channels) uint8, averaged where the image is finer than the camera.
    """
    finer, outside, exact = _maps(lens, camera)
    values: np.ndarray = image.astype(np.float32)
    if values.shape[2] == 4:  # colour times alpha is what may be averaged
        values[..., :3] = fill + (values[..., :3] - fill) * values[..., 3:] / 255.0
    if not exact:
        values = cv2.remap(values, *finer, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        values[outside] = [*np.broadcast_to(fill, 3), 0][: values.shape[2]]
    if values.shape[:2] != (camera.height, camera.width):
        values = cv2.resize(values, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    if values.shape[2] == 4:
        alpha = np.maximum(values[..., 3:], 1e-3) / 255.0
        values[..., :3] = np.where(values[..., 3:] >= 0.5, fill + (values[..., :3] - fill) / alpha, fill)
    return values.round().clip(0, 255).astype(np.uint8)


def cropped_and_filled(lens: Lens, camera: Intrinsics) -> tuple[float, float]:
    """Return the shares in [0, 1] of the lens's image that ``camera`` crops, and of the camera's that it fills."""
    _, outside, exact = _maps(lens, camera)
    if exact:
        return 0.0, 0.0
    x, y = np.meshgrid((np.arange(32) + 0.5) / 32 * lens.width, (np.arange(32) + 0.5) / 32 * lens.height)
    seen = undistort(np.stack([x, y], axis=-1).reshape(-1, 2), lens)
    column, row = seen[:, 0] * camera.focal_x + camera.centre_x, seen[:, 1] * camera.focal_y + camera.centre_y
    inside = (column >= 0) & (row >= 0) & (column <= camera.width) & (row <= camera.height)
    return 1.0 - float(inside.mean()), float(outside.mean())


def undistort(pixels: np.ndarray, lens: Lens) -> np.ndarray:
    """Return where the rays through ``pixels`` (points, 2) meet the plane at depth 1, y down: (points, 2)."""
    matrix, coefficients = _opencv(lens)
    points = (pixels - 0.5).astype(np.float64)[:, None]  # OpenCV counts from the first pixel's centre
    method = cv2.fisheye.undistortPoints if lens.fisheye else cv2.undistortPoints
    return method(points, matrix, coefficients)[:, 0]


def _opencv(lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """Return the camera matrix (3, 3) and the distortion coefficients of OpenCV."""
    matrix = np.array(
        [[lens.focal_x, 0, lens.centre_x - 0.5], [0, lens.focal_y, lens.centre_y - 0.5], [0, 0, 1]], dtype=np.float64
    )
    padding = (0.0,) * max(0, 4 - len(lens.distortion))
    return matrix, np.array(lens.distortion + padding, dtype=np.float64)


@functools.lru_cache(maxsize=4)
def _maps(lens: Lens, camera: Intrinsics) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, bool]:
    """Map the pixels of ``camera``, split until they are as fine as the lens's, to the lens's image.

    Returns:
        x and y (height, width) float32 for cv2.remap, which pixels lie outside (height, width) bool, and whether the
        map is so close to the identity that the image needs no resampling.
    """
    finer = max(1, math.ceil(lens.width / camera.width - 0.01))
    size = (finer * camera.width, finer * camera.height)
    target = np.array(
        [
            [camera.focal_x * finer, 0, camera.centre_x * finer - 0.5],
            [0, camera.focal_y * finer, camera.centre_y * finer - 0.5],
            [0, 0, 1],
        ]
    )
    matrix, coefficients = _opencv(lens)
    method = cv2.fisheye.initUndistortRectifyMap if lens.fisheye else cv2.initUndistortRectifyMap
    x, y = method(matrix, coefficients, np.eye(3), target, size, cv2.CV_32FC1)
    x, y = np.nan_to_num(x, nan=-1e6), np.nan_to_num(y, nan=-1e6)
    outside = (x < -1) | (y < -1) | (x > lens.width) | (y > lens.height)
    shift = max(np.abs(x - np.arange(size[0])).max(), np.abs(y - np.arange(size[1])[:, None]).max())
    return (x, y), outside, size == (lens.width, lens.height) and bool(shift < MAX_SHIFT)
