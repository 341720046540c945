"""Settings of the importers and of capture. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils.config import require
from utils.errors import InputError

AUTO = Path("auto")  # in place of a folder of masks: they are found


@dataclass(frozen=True)
class ImportOptions:
    """What all importers have in common."""

    out: Path  # folder of the new object, as data/objects/NAME
    image_size: int = 800  # longer side in pixels of the images written, at most
    masks: Path | None = None  # folder of masks, NAME.png for NAME.jpg, 255 = object; auto: found by a network
    plain: Literal["none", "white", "black"] = "none"  # colour of a plain background that is cut out
    tolerance: int = 24  # 8-bit steps by which a plain background may differ from its colour
    test: Path | None = None  # folder of query images of the same camera, or of folders of them by defect type
    test_masks: Path | None = None  # folder of the queries' masks, or of folders by defect type; none for masks
    fill: Literal["white", "black"] = "white"  # colour of pixels that a lens did not see
    keep_world: bool = False  # neither centre nor scale the poses
    overwrite: bool = False  # replace an existing object

    def __post_init__(self) -> None:
        require(16 <= self.image_size <= 8192, "image_size", "16 to 8192 pixels", self.image_size)

    @property
    def automatic(self) -> bool:
        """Whether masks are to be found."""
        return self.masks == AUTO

    @property
    def mask_folder(self) -> Path | None:
        """The folder of masks that there are."""
        return None if self.automatic else self.masks

    @property
    def query_masks(self) -> Path | None:
        """The folder of the queries' masks that there are."""
        return self.test_masks or self.mask_folder

    def check_folders(self) -> None:
        """Raise an InputError that names the option of a folder that does not exist."""
        for name in ("masks", "test", "test_masks"):
            folder = getattr(self, name)
            if (name, folder) == ("masks", AUTO):
                continue
            if folder is not None and not folder.is_dir():
                raise InputError(f"There is no folder {folder}; correct --{name}.")


@dataclass(frozen=True)
class PoseTableOptions:
    """How a table of camera poses is read."""

    images: Path  # folder of the images
    convention: Literal["opencv", "opengl"]  # the camera's axes: x right, y down, z forward, or x right, y up, z back
    pose: Literal["c2w", "w2c"]  # camera to world, or world to camera
    units: Literal["m", "dm", "cm", "mm", "in", "ft"] = "m"  # of the positions
    focal: float | None = None  # focal length in pixels
    camera_angle_x: float | None = None  # horizontal field of view in radians
    intrinsics: Path | None = None  # JSON file with fl_x, cx, w, k1 ... as in transforms.json

    def __post_init__(self) -> None:
        given = [name for name in ("focal", "camera_angle_x", "intrinsics") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(f"--{name}" for name in given) or "none of them"
            raise InputError(f"One of --focal, --camera_angle_x and --intrinsics is needed, found {found}.")


@dataclass(frozen=True)
class CaptureOptions:
    """How capture finds poses."""

    frames: int = 80  # images taken from a video
    sfm_size: int = 1200  # longer side in pixels of the images in which poses are found
    features: int = 4096  # feature points an image, at most
    matching: Literal["auto", "exhaustive", "sequential"] = "auto"  # which images are matched; auto: by their number
    lens: Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"] = "RADIAL"  # COLMAP's camera model
    turntable: bool = False  # the object turns in front of a fixed camera; needs --masks DIR
    seed: int = 0  # of COLMAP's random choices
    threads: int = -1  # of COLMAP; 1 makes a run repeatable bit for bit
