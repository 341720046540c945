"""Photos and queries, brought to the images that a model works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.folders import folders_below, images_in, unread_in
from data.import_options import AUTO
from data.lens import Lens, rectify
from data.masks import apply_mask, as_foreground, read_object_image, without_masks
from data.photos import OrientedPhotos
from pipeline.config import Config
from utils.camera import Intrinsics
from utils.errors import InputError
from utils.images import prepare
from utils.weights import U2NETP_NAME, Weights, obtain

Mask = str | Path | np.ndarray | None
Photo = str | Path | np.ndarray | Image.Image


@dataclass(frozen=True)
class PhotoReader:
    """Reads images as the camera of the training views would have taken them."""

    config: Config
    intrinsics: Intrinsics  # of the training views, as the field renders them
    lens: Lens | None = None  # of the photos that the training views were made of, where it is known

    @property
    def size(self) -> int:
        """The longer side of the training views in pixels."""
        return max(self.intrinsics.width, self.intrinsics.height)

    def read_query(self, path: Path) -> Tensor:
        """Read an image of the object's folder: float32 RGB (height, width, 3) of the training views' size."""
        config = self.config
        image = read_object_image(path, config.object_dir, self.size, config.background_rgb)
        return self._checked(image, str(path))

    def read(self, path: Path, mask: Mask = None) -> Tensor:
        """Read a photo as its camera wrote it: float32 RGB (height, width, 3) of the training views' size.

        Args:
            path: an image file; its EXIF orientation is obeyed.
            mask: of the object: a file, a folder of masks by the photo's stem, or (height, width), 255 = object.
        Raises:
            FileNotFoundError, InputError: for a file that is missing, damaged or of other proportions.
        """
        if mask is None and path.resolve().is_relative_to(self.config.object_dir.resolve()):
            return self.read_query(path)
        folder = Path(mask) if isinstance(mask, (str, Path)) and Path(mask).is_dir() else None
        photos = OrientedPhotos.of([path], folder, landscape=self.intrinsics.width > self.intrinsics.height)
        image = photos.read(path)
        if folder is not None:
            image = apply_mask(image, photos.foreground(path))
        elif isinstance(mask, (str, Path)):
            image = apply_mask(image, photos.read_mask_file(Path(mask), path))
        elif mask is not None:
            image = apply_mask(image, _as_mask(mask))
        return self._as_seen_by_the_views(image, str(path))

    def prepare(self, image: np.ndarray, mask: Mask = None, name: str = "the image") -> Tensor:
        """Prepare an image in memory: float32 RGB (height, width, 3) of the training views' size.

        Args:
            image: (height, width, 3 or 4) uint8, or float in [0, 1].
            mask: (height, width), 255 or True = object.
            name: of the image in messages.
        Raises:
            InputError: where shape, range or proportions are others.
        """
        if image.ndim != 3 or image.shape[2] not in (3, 4):
            raise InputError(f"{name} must be (height, width, 3 or 4), found {image.shape}; convert it to RGB.")
        if image.dtype != np.uint8:
            if not (np.isfinite(image).all() and image.min(initial=0) >= 0 and image.max(initial=0) <= 1):
                raise InputError(f"{name} must be uint8, or float in [0, 1], found {image.dtype} beyond it; scale it.")
            image = (255.0 * image).round().astype(np.uint8)
        if mask is not None:
            image = apply_mask(image, _as_mask(np.asarray(mask)))
        return self._as_seen_by_the_views(image, name)

    def _as_seen_by_the_views(self, image: np.ndarray, name: str) -> Tensor:
        """Undistort an image of the size of the camera's photos; scale others, of the views' proportions."""
        config, camera, lens = self.config, self.intrinsics, self.lens
        if lens is None or (image.shape[1], image.shape[0]) != (lens.width, lens.height):
            return self._checked(torch.from_numpy(prepare(image, self.size, config.background_rgb)[0]), name)
        # Twice as fine as the views, so that nothing blurs, and large photos are not undistorted whole.
        finer = 2 * self.size
        colour = (prepare(image, finer, config.background_rgb)[0] * 255.0).round().astype(np.uint8)
        fill = 255 * np.array(config.background_rgb)
        seen = rectify(colour, lens.resized(colour.shape[1], colour.shape[0]), camera, fill)
        return torch.from_numpy(seen).float() / 255.0

    def _checked(self, image: Tensor, name: str) -> Tensor:
        expected = (self.intrinsics.width, self.intrinsics.height)
        if (image.shape[1], image.shape[0]) != expected:
            raise InputError(
                f"The image {name} has {image.shape[1]}x{image.shape[0]} pixels after scaling, the training views have "
                f"{expected[0]}x{expected[1]}; take it with the same camera settings."
            )
        return image


def _as_mask(mask: np.ndarray) -> np.ndarray:
    """Return a mask (height, width) as uint8, 255 = object."""
    if mask.ndim != 2 or mask.dtype not in (np.uint8, np.bool_):
        raise InputError(
            f"A mask must be (height, width) of uint8 or bool, found {mask.shape} of {mask.dtype}; convert it."
        )
    return as_foreground(mask.astype(np.uint8))


def find_photos(places: list[Path]) -> dict[str, Path]:
    """Find photos, each with a unique name: a file's stem, or a folder's name and the path in it.

    Args:
        places: files, and folders that are searched with all folders in them; images of formats that are not read
            are found too, so that reading them says so.
    Raises:
        InputError: where a place does not exist, or a folder holds no images.
    """
    photos: dict[str, Path] = {}
    for place in places:
        if place.is_dir():
            folders = folders_below(place)
            found = [path for folder in folders for path in (*without_masks(images_in(folder)), *unread_in(folder))]
            if not found:
                raise InputError(f"There are no images in the folder {place}; name another one.")
            top = place.resolve()
            named = [(f"{top.name}/{path.relative_to(place).with_suffix('').as_posix()}", path) for path in found]
        elif place.is_file():
            named = [(place.stem, place)]
        else:
            raise InputError(f"There is no file or folder {place}; check the name.")
        for name, path in named:
            unique, copy = name, 2
            while unique in photos:
                unique, copy = f"{name}_{copy}", copy + 1
            photos[unique] = path
    return photos


def masks_found(masks: Mask) -> bool:
    """Return whether masks are to be found by a network."""
    return isinstance(masks, (str, Path)) and Path(masks) == AUTO


def check_masks(masks: str | Path | None, weights: Weights) -> None:
    """Raise an InputError where masks are in no folder; fetch the network that finds them before any work."""
    if masks_found(masks):
        obtain(U2NETP_NAME, weights)
    elif masks is not None and not Path(masks).is_dir():
        raise InputError(f"There is no folder {masks}; correct --masks.")


def find_part(folder: Path) -> dict[str, Path]:
    """Find the photos of one specimen in its folder, by their names within it; as ``find_photos``."""
    return {name.split("/", 1)[1]: path for name, path in find_photos([folder]).items()}


def named_images(images: Sequence[Photo]) -> dict[str, Photo]:
    """Give each of several images a unique name: a file's stem, or its number.

    >>> list(named_images(["a/1.png", "b/1.png", np.zeros((2, 2, 3))]))
    ['1', '1_2', 'photo 3']
    """
    named: dict[str, Photo] = {}
    for number, image in enumerate(images, 1):
        name = Path(image).stem if isinstance(image, (str, Path)) else f"photo {number}"
        copies = (f"{name}_{copy}" for copy in range(2, number + 1))
        named[name if name not in named else next(each for each in copies if each not in named)] = image
    return named
