"""Photos that are added to a trained object: read, and their poses found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from data.transforms_file import TransformsFile
from nerf.fields import ExtensibleMethod
from pipeline.methods import field_method
from pipeline.model import Model
from pipeline.photos import check_masks, find_photos, masks_found
from retrieval.galleries import ExtensibleGallery, Gallery
from utils.errors import InputError
from utils.images import to_bytes
from utils.rendering import Field, Rendering
from utils.views import Views

ROUNDS = 3  # searches for photos whose poses are not found before others have been learned
SURE = 0.55  # confidence in a pose from which a photo is learned before the others are searched again


@dataclass(frozen=True)
class NewPhoto:
    """A photo that is to be added."""

    name: str
    path: Path
    image: Tensor  # (height, width, 3) float32, cut out where it has a mask
    pose: Tensor | None = None  # (4, 4) camera_to_world, where it is known
    rendering: Rendering | None = None  # of the object's field at that pose, where the search made it
    remark: str = ""

    def entry(self) -> dict[str, Any]:
        """Return what the journal says of it."""
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return {"name": self.name, "sha256": digest, "source": str(self.path), "remark": self.remark}


def read_photos(model: Model, places: list[Path], masks: str | Path | None) -> list[NewPhoto]:
    """Read photos as the model's camera would have taken them, with the poses that a ``transforms.json`` gives."""
    check_masks(masks, model.context.weights)
    given = None if masks_found(masks) else masks
    poses = {path: pose for place in places for path, pose in given_poses(place).items()}
    return [
        NewPhoto(name, path, model.photos.read(path, given), poses.get(path.resolve()))
        for name, path in find_photos(places).items()
    ]


def given_poses(folder: Path) -> dict[Path, Tensor]:
    """Return the poses (4, 4) of the images that a folder's ``transforms.json`` lists, by resolved path."""
    if not (folder / "transforms.json").is_file():
        return {}
    transforms = TransformsFile.read(folder)
    paths = [transforms.image_path(index) for index in range(len(transforms.frames))]
    return {path.resolve(): transforms.pose(index, path) for index, path in enumerate(paths)}


class Found(NamedTuple):
    """What came of a search for the poses of photos."""

    posed: list[NewPhoto]
    lost: list[NewPhoto]  # whose pose was not found
    field: Field | None  # that has learned those with poses, where the search made it


def find_poses(model: Model, photos: list[NewPhoto], masks: str | Path | None) -> Found:
    """Find the poses of photos.

    A side that no view showed is known a little better with each photo: what is found for sure is learned, then the
    others are searched again.
    """
    posed, left = [one for one in photos if one.pose is not None], [one for one in photos if one.pose is None]
    knowing, learned = model, None
    for number in range(ROUNDS):
        if (number and not posed) or not left:
            break
        if number:
            learned = learned_field(model, posed)
            knowing = replace(model, field=learned, gallery=learned_gallery(model, views_of(model, posed)))
        tries = [searched(knowing, one, masks) for one in left]
        if number:  # they are of a field that may be thrown away
            tries = [(replace(one, rendering=None), confidence) for one, confidence in tries]
        good = [one for one, confidence in tries if confidence >= SURE] if number + 1 < ROUNDS else []
        good = good or [one for one, confidence in tries if confidence > 0]
        if not good:
            break
        posed, learned = [*posed, *good], None
        names = {one.name for one in good}
        left = [one for one in left if one.name not in names]
    return Found(posed, [replace(one, remark="left out: its pose was not found") for one in left], learned)


def searched(model: Model, photo: NewPhoto, masks: str | Path | None) -> tuple[NewPhoto, float]:
    """Search the pose of a photo; return the photo with it, and the confidence, 0 where it was not found."""
    if masks_found(masks):
        detection, query = model.detect_uncut(photo.image, photo.name)
        found = replace(photo, image=query, pose=detection.pose)
        return found, (detection.pose_confidence or 0.0) * detection.pose_found
    refined = model.locate(model.condition(photo.image), photo.name)
    found = replace(photo, pose=refined.camera_to_world.cpu(), rendering=refined.rendering)
    return found, refined.confidence * refined.found


def views_of(model: Model, photos: Sequence[NewPhoto]) -> Views:
    """Return posed photos as views."""
    images = [torch.from_numpy(to_bytes(model.condition(one.image))) for one in photos]
    poses = [one.pose for one in photos if one.pose is not None]
    names = tuple(one.name for one in photos)
    return Views(torch.stack(images), None, torch.stack(poses), model.intrinsics, names, model.config.background_rgb)


def learned_field(model: Model, photos: Sequence[NewPhoto]) -> Field:
    """Return the model's field with posed photos learned."""
    return extensible(model).extend(model.field, views_of(model, photos), model.context)


def learned_gallery(model: Model, views: Views) -> Gallery:
    """Return the model's gallery with more views."""
    if not isinstance(model.gallery, ExtensibleGallery):
        method = model.config.retrieval.method
        raise InputError(f"Photos cannot be added to a gallery of the retrieval {method}; train with all of them.")
    return model.gallery.extended(views)


def extensible(model: Model) -> ExtensibleMethod:
    """Return the method by which a model's field learns on; an InputError says that it has none."""
    method = field_method(model.config)
    if not isinstance(method, ExtensibleMethod):
        raise InputError(f"Photos cannot be added to a field of the method {method.name}; train with all of them.")
    return method
