"""Other programs' exports: a few are read, the others are recognised by their content and the way is said.

Read, for they hold all that is needed: Polycam's and Record3D's raw exports, LLFF's ``poses_bounds.npy`` and the
``cameras.json`` of 3D Gaussian Splatting. Metashape, RealityCapture, Meshroom, OpenMVG, OpenSfM, Bundler, VisualSFM,
Unity and OpenCV files are refused in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data.folders import ImageFinder, images_in, read_json, read_text
from data.layout import PosedImage, PosedImages, scale_to_file
from data.lens import Lens
from data.world import FLIP, rigid_pose, rotation_of_quaternion
from utils.errors import InputError

COLMAP_WAY = "export its cameras in COLMAP's form and use import-colmap"
STUDIO_WAY = "nerfstudio's ns-process-data {} makes a transforms.json for import-transforms"
# How files of programs begin or what they hold, which program that is, and the way to poses that are read.
SIGNS = (
    ("<chunk", "Metashape's camera file (XML)", STUDIO_WAY.format("metashape") + f", or {COLMAP_WAY}"),
    ("<blocksexchange", "a Bentley or Metashape block file (XML)", COLMAP_WAY),
    ("#name,x,y,alt,heading", "RealityCapture's table", STUDIO_WAY.format("realitycapture") + f", or {COLMAP_WAY}"),
    ("#cameras", "RealityCapture's table of cameras", COLMAP_WAY),
    ("x:xmpmeta", "RealityCapture's XMP", COLMAP_WAY),
    ("sfm_data_version", "OpenMVG's sfm_data.json", "openMVG_main_openMVG2Colmap makes a COLMAP model"),
    ('"poseid"', "Meshroom's .sfm", "its node ExportColmap, or Meshroom2NeRF, makes a model that is read"),
    ('"viewid"', "Meshroom's .sfm", "its node ExportColmap, or Meshroom2NeRF, makes a model that is read"),
    ('"shots"', "OpenSfM's or OpenDroneMap's reconstruction.json", STUDIO_WAY.format("odm")),
    ("# bundle file", "Bundler's file", "find the poses anew: python -m data capture"),
    ("nvm_v3", "VisualSFM's .nvm", "find the poses anew: python -m data capture"),
    ("%yaml", "an OpenCV or Kalibr YAML file", "write a table of poses for import-poses, or a transforms.json"),
    ("opencv_storage", "an OpenCV XML file", "write a table of poses for import-poses, or a transforms.json"),
    ("m_localposition", "a Unity scene", "write camera to world with a right hand (negate z of positions, and x and y "
     "of the quaternions) as a table for import-poses --convention opengl"),
)  # fmt: skip
SIGN_BYTES = 65536
DAMAGE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, OSError, EOFError, MemoryError)


def refuse_others(path: Path) -> None:
    """Raise an InputError that names program and way where a file, or one in a folder, is of a known program."""
    files = [path] if path.is_file() else []
    if path.is_dir():
        kinds = (".xml", ".sfm", ".csv", ".nvm", ".out", ".yaml", ".yml", ".xmp", ".json")
        names = {".bin", ".txt"}
        inside = [file for file in sorted(path.iterdir()) if file.is_file()]
        files = [] if any(file.suffix in names for file in inside) else [f for f in inside if f.suffix.lower() in kinds]
    for file in files:
        with file.open("rb") as stream:
            start = stream.read(SIGN_BYTES)
        text = start.decode(
            "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", errors="replace"
        ).lower()
        for sign, program, way in SIGNS:
            if sign in text and '"frames"' not in text:
                raise InputError(f"{file} is {program}, which is not read; {way}.")


def read_export(source: Path) -> PosedImages | None:
    """Read another program's export, if ``source`` (a folder, or the file in it) is one that is known; else None.

    Raises:
        InputError: for an export that is damaged.
    """
    folder = source if source.is_dir() else source.parent
    if _has(source, "transforms.json", "transforms_train.json"):
        return None
    readers: dict[str, tuple[bool, Callable[[Path], PosedImages]]] = {
        "Polycam": ((source / "keyframes").is_dir() or _has(source, "mesh_info.json"), _read_polycam),
        "Record3D": (_has(source, "metadata.json", "metadata"), _read_record3d),
        "LLFF": (_has(source, "poses_bounds.npy"), _read_llff),
        "3D Gaussian Splatting": (_is_splatting(source), lambda _: _read_splatting(source)),
    }
    program = next((name for name, (found, _) in readers.items() if found), None)
    if program is None:
        return None
    try:
        return readers[program][1](folder)
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"The export of {program} in {folder} is damaged ({error!r}); export it again.") from None


def _has(source: Path, *names: str) -> bool:
    return source.name in names if source.is_file() else any((source / name).is_file() for name in names)


def _is_splatting(source: Path) -> bool:
    if source.is_dir():
        return (source / "cameras.json").is_file()
    return source.is_file() and source.suffix.lower() == ".json" and '"img_name"' in read_text(source)


def _lens(width: float, height: float, focal: tuple[float, float], centre: tuple[float, float], where: Path) -> Lens:
    focal_x, focal_y, centre_x, centre_y = (float(value) for value in (*focal, *centre))
    return Lens(int(width), int(height), focal_x, focal_y, centre_x, centre_y).checked(str(where))


def _posed(found: list[tuple[str, Any, Lens]], images: list[Path], unit: str, where: Path) -> PosedImages:
    """Return posed images of names, camera_to_world and lenses; names without an image, and the reverse, are named."""
    finders = {path.parent: ImageFinder(path.parent) for path in images}
    frames, skipped = [], []
    for name, pose, lens in found:
        image = next((path for finder in finders.values() if (path := finder.find(name)) is not None), None)
        if image is None:
            skipped.append(f"{name} (no such image beside {where})")
            continue
        frames.append(PosedImage(image, rigid_pose(pose, f"{name} in {where}"), scale_to_file(lens, image)))
    posed = {frame.path for frame in frames}
    skipped += [f"{path.name} (no pose)" for path in images if path not in posed]
    return PosedImages(frames, skipped, unit=unit)


def _read_polycam(folder: Path) -> PosedImages:
    """Read a raw export of Polycam: keyframes/cameras/*.json with ARKit's poses (OpenGL axes, y is up)."""
    frames = folder / "keyframes" if (folder / "keyframes").is_dir() else folder
    corrected = (frames / "corrected_cameras").is_dir()
    cameras = frames / ("corrected_cameras" if corrected else "cameras")
    files = sorted(cameras.glob("*.json"))
    if not files:
        raise InputError(f"There are no cameras in {cameras}; export the raw data with Polycam's developer mode.")
    found: list[tuple[str, Any, Lens]] = []
    for file in files:
        keys = read_json(file)
        rows = [[keys[f"t_{row}{column}"] for column in range(4)] for row in (2, 0, 1)]  # z becomes up
        lens = _lens(keys["width"], keys["height"], (keys["fx"], keys["fy"]), (keys["cx"], keys["cy"]), file)
        found.append((file.stem, [*rows, [0, 0, 0, 1]], lens))
    return _posed(found, images_in(frames / ("corrected_images" if corrected else "images")), "m", cameras)


def _read_record3d(folder: Path) -> PosedImages:
    """Read an export of Record3D: ``metadata`` with ARKit's poses as qx qy qz qw x y z, and rgb/ or rgbd/."""
    file = next(folder / name for name in ("metadata.json", "metadata") if (folder / name).is_file())
    keys = read_json(file)
    matrix = np.array(keys["K"], dtype=np.float64).reshape(3, 3).T
    lens = _lens(keys["w"], keys["h"], (matrix[0, 0], matrix[1, 1]), (matrix[0, 2], matrix[1, 2]), file)
    images = next((inside for name in ("rgb", "rgbd", "images", ".") if (inside := images_in(folder / name))), [])
    if len(images) != len(keys["poses"]):
        raise InputError(f"{file} has {len(keys['poses'])} poses for {len(images)} images in {folder}; export again.")
    found: list[tuple[str, Any, Lens]] = []
    for image, (x, y, z, w, *place) in zip(images, keys["poses"]):
        pose = np.eye(4)
        pose[:3, :3] = rotation_of_quaternion([w, x, y, z], f"{image.name} in {file}")
        pose[:3, 3] = place
        found.append((image.name, pose[[2, 0, 1, 3]], lens))
    return _posed(found, images, "m", file)


def _read_llff(folder: Path) -> PosedImages:
    """Read LLFF's poses_bounds.npy: rows of a (3, 5) matrix, axes down, right and back, height, width and focal."""
    file = folder / "poses_bounds.npy"
    with file.open("rb") as stream:
        table = np.lib.format.read_array(stream, allow_pickle=False)
    if table.ndim != 2 or table.shape[1] != 17:
        raise InputError(f"{file} must have 17 numbers a row, found an array of {table.shape}; export it again.")
    images = images_in(folder / "images")
    if len(images) != len(table):
        raise InputError(f"{file} has {len(table)} poses for {len(images)} images in {folder}/images; export again.")
    found: list[tuple[str, Any, Lens]] = []
    for image, row in zip(sorted(images, key=lambda path: path.name), table):
        matrix = row[:15].reshape(3, 5)
        height, width, focal = matrix[:, 4]
        pose = np.eye(4)
        pose[:3] = np.stack([matrix[:, 1], -matrix[:, 0], matrix[:, 2], matrix[:, 3]], axis=1)
        found.append((image.name, pose, _lens(width, height, (focal, focal), (width / 2, height / 2), file)))
    return _posed(found, images, "source units", file)


def _read_splatting(source: Path) -> PosedImages:
    """Read the cameras.json of 3D Gaussian Splatting: centres and camera-to-world rotations, OpenCV axes."""
    file = source / "cameras.json" if source.is_dir() else source
    found: list[tuple[str, Any, Lens]] = []
    folder = file.parent
    for camera in read_json(file):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = camera["rotation"], camera["position"]
        width, height = camera["width"], camera["height"]
        lens = _lens(width, height, (camera["fx"], camera["fy"]), (width / 2, height / 2), file)
        found.append((camera["img_name"], pose @ FLIP, lens))
    images = images_in(folder / "images") or images_in(folder / "input") or images_in(folder)
    return _posed(found, images, "units of COLMAP", file)
