"""Finds and reads foreground masks, 8-bit images that are 255 on the object, and cuts objects out with them.

An object's own masks lie beside its images: that of ``<object>/train/good/7.jpg`` is
``<object>/masks/train/good/7.png``, that of ``<object>/test/Burrs/0.png`` is ``<object>/masks/test/Burrs/0.png``. Where
a folder of images has a folder of masks, each of its images needs one. Masks of imported photos lie in a folder that
the user names.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.folders import folded, images_in
from utils.errors import InputError
from utils.images import SUFFIXES, open_image, prepare, read_uint8

FOLDER = "masks"
# The names of a mask of STEM.jpg without their suffix: COLMAP's is STEM.jpg.png, RealityCapture's STEM.jpg.mask.png.
MASK_NAMES = (
    "{name}.mask",
    "{name}_mask",
    "{name}",
    "{stem}_mask",
    "{stem}-mask",
    "{stem}.mask",
    "mask_{stem}",
    "{stem}",
)
MOST_SHADES = 64  # values that a mask of labels may have
MOST_GRADED = 0.05  # share of middling values from which many shades of colour are a photo's
COLOURED = 24  # 8-bit steps between a pixel's channels from which it has a colour
WHOLE = 0.995  # share of an image that no object covers
ROUND_ABOUT = 0.9  # share of the border from which a mask that leaves the middle out is inverted
SAME_LEVELS = 3.0  # mean 8-bit steps up to which a mask is its own photo


def mask_path(object_dir: Path, image: Path) -> Path | None:
    """Return the mask of an object's image, or where it should be; None where the image's folder has no masks."""
    if not image.is_relative_to(object_dir):
        return None
    folder = object_dir / FOLDER / image.relative_to(object_dir).parent
    return (mask_in(folder, image) or folder / f"{image.stem}.png") if folder.is_dir() else None


def existing_masks(object_dir: Path, images: Iterable[Path]) -> list[Path]:
    """Return the masks of an object's images that exist."""
    masks = (mask_path(object_dir, image) for image in images)
    return [mask for mask in masks if mask is not None and mask.is_file()]


def mask_in(folder: Path, image: Path) -> Path | None:
    """Return the mask of ``image`` in ``folder`` itself, by one of ``MASK_NAMES``, in any case and format, or None.

    In the images' own folder a mask must say that it is one: STEM.png is another image there.
    """
    own = folder.resolve() == image.parent.resolve()
    names = [form.format(stem=image.stem, name=image.name) for form in (MASK_NAMES[:-1] if own else MASK_NAMES)]
    exact = (path for name in names for suffix in SUFFIXES if (path := folder / (name + suffix)).is_file())
    if (found := next(exact, None)) is not None:
        return found
    others = {folded(path.stem): path for path in images_in(folder) if path.name != image.name or not own}
    return next((others[folded(name)] for name in names if folded(name) in others), None)


def without_masks(images: Sequence[Path]) -> list[Path]:
    """Return the images without those that are by their names masks of others beside them, as 7_mask.png of 7.jpg."""
    masks = {mask_in(path.parent, path) for path in images}
    return [path for path in images if path not in masks]


def images_by_stem(folder: Path) -> dict[str, Path]:
    """Return the images of a folder of queries by stem.

    Raises:
        InputError: where two have the same one, or one is by its name the mask of another.
    """
    found: dict[str, Path] = {}
    images = images_in(folder)
    for path in images:
        other = found.setdefault(path.stem, path)
        if other != path:
            raise InputError(f"{other} and {path} have the same stem; rename one of them.")
    masks = sorted({*images} - {*without_masks(images)})
    if masks:
        raise InputError(
            f"{masks[0]} is by its name a mask among images; move ground truth to ground_truth/{folder.name}, "
            f"and masks of objects to a folder of their own."
        )
    return found


def find_masks(folder: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """Find the mask of each image: at the image's place relative to the others, in a subfolder with the name of the
    image's folder, or in ``folder`` itself.

    Raises:
        InputError: where images have no mask, or one mask would be that of several images.
    """
    top = Path(os.path.commonpath([image.parent for image in images])) if images else Path()
    masks: dict[Path, Path] = {}
    missing: list[Path] = []
    expected = folder
    for image in images:
        inner = [folder / image.parent.relative_to(top), folder / image.parent.name]
        places = [place for place in dict.fromkeys(inner) if place != folder and place.is_dir()] or [folder]
        mask = next((found for place in places if (found := mask_in(place, image)) is not None), None)
        if mask is not None:
            masks[image] = mask
        elif not missing:
            end = "_mask" if places[0].resolve() == image.parent.resolve() else ""
            expected = places[0] / f"{image.stem}{end}.png"
        missing += [image] if mask is None else []
    if missing:
        count = f"{len(missing)} of {len(images)} images have no mask: there" if len(images) > 1 else "There"
        raise InputError(
            f"{count} is no mask of {missing[0].name} in {expected.parent}, expected {expected.name}; add it "
            f"(255 = object)."
        )
    owners: dict[Path, Path] = {}
    for image, mask in masks.items():
        other = owners.setdefault(mask, image)
        if other != image:
            raise InputError(
                f"The mask {mask} would be that of {other} and of {image}; put masks in folders like the images', "
                f"as {folder / image.parent.name / mask.name}."
            )
    return masks


def find_mask(folder: Path, image: Path) -> Path:
    """Return the mask of one image; see ``find_masks``."""
    return find_masks(folder, [image])[image]


def read_foreground(path: Path, size: tuple[int, int] | None = None, check: bool = True) -> np.ndarray:
    """Read a mask: (height, width) uint8, 255 on the object; transparency, where there is any, else brightness.

    Masks of two values, as 0 and 1, and of labels become 0 and 255.

    Args:
        path: an image file of any mode.
        size: width and height to which the mask is resized; None keeps its own.
        check: whether a mask that marks nothing, or all but the object, is an error.
    Raises:
        InputError: for a file that cannot be read, is no mask, or has other proportions than ``size``.
    """
    with open_image(path, "mask") as file:
        values = _foreground_values(file, path)
    if check and (fault := foreground_fault(values)):
        raise InputError(f"The mask {path} {fault}.")
    return values if size is None else fitted(values, size, path)


def fitted(values: np.ndarray, size: tuple[int, int], path: Path) -> np.ndarray:
    """Return a mask (height, width) uint8 at another size (width, height); an InputError for other proportions."""
    height, width = values.shape
    if (width, height) == size:
        return values
    if abs(width * size[1] - height * size[0]) > max(*size, width, height):
        raise InputError(f"The mask {path} has {width}x{height} pixels, its image {size[0]}x{size[1]}; make them fit.")
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BOX))


def _foreground_values(file: Image.Image, path: Path) -> np.ndarray:
    """Return an open mask as (height, width) uint8, 255 on the object."""
    values, coloured = mask_values(file)
    check_is_mask(values, coloured, path)
    if file.format == "JPEG":  # which blurs, and reddens greys
        values, coloured = np.where(values > max(1, values.max() // 2), 255, 0).astype(np.uint8), False
    return as_foreground(values, coloured)


def check_is_mask(values: np.ndarray, coloured: bool, path: Path) -> None:
    """Raise an InputError where the values of a mask (height, width) uint8 have as many shades of colour as a photo."""
    shades = len(np.unique(values)) if coloured else 0
    if shades > MOST_SHADES and np.mean((values > 40) & (values < 215)) > MOST_GRADED:
        raise InputError(
            f"The mask {path} is a colour image with {shades} shades, the photo itself? Name the folder of the masks "
            f"(white: marked)."
        )


def as_foreground(values: np.ndarray, coloured: bool = False) -> np.ndarray:
    """Return the values of a mask (height, width) uint8 as 255 on the object, whatever it writes for it.

    Args:
        values: of two kinds, as 0 and 1; labels, 0 beside the object; or shades up to 255.
        coloured: whether its pixels have colours.
    """
    levels = np.unique(values)
    few = len(levels) <= MOST_SHADES
    if len(levels) == 2 or (few and coloured) or (few and 0 < levels[-1] < 128):
        return np.where(values > (levels[0] if len(levels) > 1 else 0), 255, 0).astype(np.uint8)
    return np.round(values * (255.0 / levels[-1])).astype(np.uint8) if 0 < levels[-1] < 128 else values


def mask_values(file: Image.Image) -> tuple[np.ndarray, bool]:
    """Return what an open mask says of its pixels, whatever its mode.

    Returns:
        (height, width) uint8: its transparency where that varies, else its brightest channel; and whether its pixels
        have colours, as labels have.
    """
    if file.mode[0] in "IF":
        wide = np.nan_to_num(np.asarray(file).astype(np.float64))
        peak = wide.max(initial=0)
        scale = 257.0 if peak > 255 else 1.0 if file.mode[0] == "I" or peak > 1 else 1 / 255
        return (wide / scale).clip(0, 255).round().astype(np.uint8), False
    pixels = np.asarray(file.convert("RGBA"))
    alpha = pixels[..., 3]
    if alpha.min(initial=255) < alpha.max(initial=0):
        return alpha, False
    colours = pixels[..., :3]
    brightest = colours.max(axis=-1)
    return brightest, bool(np.mean(brightest - colours.min(axis=-1) > COLOURED) > 1e-4)


def foreground_fault(values: np.ndarray) -> str:
    """Return what is wrong with a mask (height, width) uint8 as a whole, as the end of a sentence; empty if nothing."""
    marked = values > 127
    if not marked.any():
        return "marks no object (all black); write it again, 255 = object, or leave its image out"
    if marked.mean() > WHOLE:
        return "marks the whole image; write it again, 0 beside the object"
    height, width = marked.shape
    centre = marked[height // 3 : height - height // 3, width // 3 : width - width // 3]
    border = np.concatenate([marked[0], marked[-1], marked[:, 0], marked[:, -1]])
    if border.mean() > ROUND_ABOUT and centre.size and centre.mean() < 0.5 < marked.mean():
        return "marks what is around the object; invert it (255 = object)"
    return ""


def read_cut_out(path: Path, object_dir: Path, check: bool = True) -> np.ndarray:
    """Read an image of an object with its mask, if it has one, as alpha.

    Args:
        path: the image.
        object_dir: the object's folder.
        check: as in ``read_foreground``.
    Returns:
        (height, width, 3 or 4) uint8; the image's own alpha stays where it is lower than the mask.
    Raises:
        FileNotFoundError, InputError: as ``read_uint8``; for a mask that is missing, damaged or of another size.
    """
    image, mask = read_uint8(path), mask_path(object_dir, path)
    if mask is None:
        return image
    if not mask.is_file():
        raise InputError(
            f"The image {path} has no foreground mask, expected {mask}; add it, or remove the folder {mask.parent}."
        )
    return apply_mask(image, read_foreground(mask, check=check), f"The mask {mask}")


def read_object_image(path: Path, object_dir: Path, image_size: int, background: tuple[float, float, float]) -> Tensor:
    """Read an image of an object, cut out and averaged down: float32 RGB (height, width, 3) in [0, 1]."""
    return torch.from_numpy(prepare(read_cut_out(path, object_dir), image_size, background)[0])


def with_alpha(image: np.ndarray) -> np.ndarray:
    """Return an image (height, width, 3 or 4) uint8 with an alpha channel, opaque where it had none."""
    return image if image.shape[2] == 4 else np.dstack([image, np.full(image.shape[:2], 255, dtype=np.uint8)])


def apply_mask(image: np.ndarray, foreground: np.ndarray, name: str = "A foreground mask") -> np.ndarray:
    """Return an image with a mask as its alpha.

    Args:
        image: (height, width, 3 or 4) uint8; its own alpha stays where it is lower than the mask.
        foreground: (height, width) uint8, 255 on the object.
        name: of the mask, for errors.
    Returns:
        (height, width, 4) uint8.
    """
    if foreground.shape != image.shape[:2]:
        raise InputError(
            f"{name} must have its image's size, {image.shape[1]}x{image.shape[0]} pixels, found "
            f"{foreground.shape[1]}x{foreground.shape[0]}; write it again."
        )
    brightness = image[..., :3].max(axis=2)
    if len(np.unique(foreground)) > MOST_SHADES and np.mean(cv2.absdiff(foreground, brightness)) < SAME_LEVELS:
        raise InputError(f"{name} is the photo itself; name the folder of the masks (255 = object).")
    alpha = np.minimum(foreground, image[..., 3]) if image.shape[2] == 4 else foreground
    return np.dstack([image[..., :3], alpha])
