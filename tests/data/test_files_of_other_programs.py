"""Whatever program wrote them: names, formats, masks and texts are read, or refused in a sentence that says the way."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial.transform import Rotation

from data import layout
from data.commands import doctor_command
from data.folders import ImageFinder, images_in, read_text
from data.import_colmap import import_colmap
from data.import_options import ImportOptions, PoseTableOptions
from data.import_poses import import_poses, read_poses
from data.import_transforms import import_transforms, read_transforms
from data.mad import load_views
from data.masks import apply_mask, find_masks, read_foreground
from data.photos import apply_orientation
from pipeline.photos import find_photos
from tests.data.codings import CODINGS, TRUTH, coded
from tests.data.sources import FLIP, ring, write_colmap, write_json, write_photo, write_pictures
from tests.data.test_import_colmap import PINHOLE
from tests.data.test_import_transforms import NERFSTUDIO, source
from tests.hostile import contents
from tests.mad_folder import read_transforms as frames_of
from tests.mad_folder import write_object, write_picture, write_transforms
from utils.errors import InputError
from utils.images import read_uint8

WHITE = (1.0, 1.0, 1.0)
letters = st.text(st.sampled_from("aZ09äÉ ß()[]_-.,+"), min_size=1, max_size=9).filter(lambda stem: stem.strip(" .@#~"))
SUFFIXES = [".png", ".PNG", ".jpg", ".JPG", ".jpeg", ".webp", ".tif", ".TIFF", ".bmp"]
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": lambda name: name,
    "dotted": lambda name: "./" + name,
    "backslashes": lambda name: name.replace("/", "\\"),
    "other case": lambda name: name.swapcase() if name.swapcase().casefold() == name.casefold() else name,
    "composed": lambda name: unicodedata.normalize("NFC", name),
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "another computer's": lambda name: "/home/else/scan/" + name,
    "a drive's": lambda name: "D:\\scan\\" + name.replace("/", "\\"),
    "round about": lambda name: "other/../" + name,
}


@given(letters, st.sampled_from(SUFFIXES), st.sampled_from(sorted(WAYS)), st.booleans())
def test_an_image_is_found_however_its_name_is_written(stem: str, suffix: str, way: str, bare: bool) -> None:
    assume(not stem.startswith(".") and not (bare and Path(stem).suffix))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "images" / (stem + suffix)
        path.parent.mkdir()
        path.write_bytes(b"")
        name = WAYS[way](f"images/{stem}" + ("" if bare else suffix))
        assert ImageFinder(Path(folder)).find(name) == path


def test_two_images_that_one_name_fits_are_named(tmp_path: Path) -> None:
    for name in ("a.PNG", "A.png", "b.jpg", "b.png"):
        (tmp_path / name).write_bytes(b"")
    finder = ImageFinder(tmp_path)
    assert finder.find("A.png") == tmp_path / "A.png"
    for name in ("A.Png", "b"):
        with pytest.raises(InputError, match="may be"):
            finder.find(name)


@pytest.mark.parametrize("name", ["a.JPG", "noise", "photo.2024", "x y(1).webp"])
def test_images_are_known_by_suffix_or_content_and_junk_is_not(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / name, format="PNG")
    for junk in ("._0.png", "Thumbs.db", "@eaDir", "notes.txt", "0.png.4711.part", ".DS_Store"):
        (tmp_path / junk).write_bytes(b"junk")
    assert images_in(tmp_path) == [tmp_path / name]


FORMATS: dict[str, Callable[[Path, Path], object]] = {
    "webp": lambda image, path: Image.open(image).save(path.with_suffix(".webp"), lossless=True),
    "tif": lambda image, path: Image.open(image).save(path.with_suffix(".tif")),
    "bmp": lambda image, path: Image.open(image).save(path.with_suffix(".bmp")),
    "png": lambda image, path: Image.open(image).save(path.with_suffix(".PNG")),
}


@pytest.mark.parametrize("form", FORMATS)
def test_importers_detect_and_the_layout_read_each_format(tmp_path: Path, form: str) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    expected = [read_uint8(image) for image in images_in(tmp_path / "in/images")]
    content = json.loads(path.read_text())
    for image, frame in zip(images_in(tmp_path / "in/images"), content["frames"]):
        copy = tmp_path / "in/images" / f"x{image.name}"
        FORMATS[form](image, copy)
        image.unlink()
        frame["file_path"] = f"images/x{image.stem}.{form}"
    write_json(path, content)
    import_transforms(path, None, ImportOptions(tmp_path / "out"))
    assert np.array_equal([read_uint8(image) for image in images_in(tmp_path / "out/train/good")], expected)
    assert len(find_photos([tmp_path / "in/images"])) == 6


def test_detect_says_of_each_file_that_it_cannot_read(tmp_path: Path) -> None:
    write_pictures(tmp_path, 1)
    (tmp_path / "1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "2.cr2").write_bytes(b"II*\0raw")
    found = find_photos([tmp_path])
    assert [path.name for path in found.values()] == ["0.png", "1.heic", "2.cr2"]
    for name, said in (("1.heic", "HEIC .* export it as JPEG"), ("2.cr2", "RAW .* develop it")):
        with pytest.raises(InputError, match=said):
            read_uint8(tmp_path / name)


def test_the_layout_reads_names_of_other_programs(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    (folder / "train/good/5.png").rename(folder / "train/good/5.JPG")
    names = ["train\\good\\0.png", "TRAIN/good/1.PNG", "./train/2", "train/good/3", "./train/good/4.png", "5.jpg"]
    frames = frames_of(folder)
    for frame, name in zip(frames, names):
        frame["file_path"] = name
    write_transforms(folder, frames)
    assert len(load_views(folder, 400, WHITE)) == 6


def test_a_link_out_of_the_object_is_explained_and_one_of_an_import_is_followed(tmp_path: Path) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    (tmp_path / "in/images").rename(tmp_path / "disk")
    (tmp_path / "in/images").symlink_to(tmp_path / "disk")
    assert len(read_transforms(path).frames) == 6
    folder = write_object(tmp_path / "toy")
    (folder / "train/good").rename(tmp_path / "good")
    (folder / "train/good").symlink_to(tmp_path / "good")
    with pytest.raises(InputError, match=r"link to .*copy the images"):
        load_views(folder, 400, WHITE)


def test_images_outside_the_folder_are_said_where(tmp_path: Path) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    (tmp_path / "in/json").mkdir()
    content = json.loads(path.read_text())
    for frame in content["frames"]:
        frame["file_path"] = "../images/" + frame["file_path"].rsplit("/", 1)[-1]
    inner = write_json(tmp_path / "in/json/transforms.json", content)
    with pytest.raises(InputError, match=rf"lies outside .*give --images {tmp_path}/in/images"):
        import_transforms(inner, None, ImportOptions(tmp_path / "out"))
    assert import_transforms(inner, tmp_path / "in/images", ImportOptions(tmp_path / "out")).images == 6


MASK_NAMES = [
    "{stem}.png",
    "{stem}_mask.jpg",
    "{stem}.PNG",
    "{stem}_mask.png",
    "{stem}.mask.png",
    "{name}.png",
    "{name}.mask.png",
]


@given(st.sampled_from(sorted(CODINGS)), st.sampled_from(MASK_NAMES), st.booleans())
def test_masks_of_any_name_and_coding_cut_out_the_same(coding: str, form: str, beside: bool) -> None:
    assume(not (beside and form.startswith("{stem}.") and "mask" not in form))
    with TemporaryDirectory() as name:
        photo = Path(name) / "images/7.JPG"
        folder = photo.parent if beside else Path(name) / "masks"
        write_picture(photo, np.zeros((16, 16, 3), dtype=np.uint8))
        path = coded(folder / form.format(stem="7", name="7.JPG"), coding)
        assert find_masks(folder, [photo]) == {photo: path}
        assert np.array_equal(read_foreground(path), TRUTH * 255)


@pytest.mark.parametrize("flag", range(1, 9))
def test_the_exif_orientation_is_applied_where_the_camera_asks_for_it(tmp_path: Path, flag: int) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    picture = read_uint8(tmp_path / "in/images/0.png")
    turns = [picture, *(np.asarray(Image.fromarray(picture).transpose(turn)) for turn in Image.Transpose)]
    stored = next(turned for turned in turns if np.array_equal(apply_orientation(turned, flag), picture))
    write_photo(tmp_path / "in/images/0.png", flag, np.ascontiguousarray(stored))
    summary = import_transforms(path, None, ImportOptions(tmp_path / "out"))
    seen = read_uint8(tmp_path / "out/train/good/0.png")
    if 2 <= flag <= 4:  # the shape does not tell: COLMAP and others ignore the flag
        assert np.array_equal(seen, stored) and "the doctor proves" in summary.notes[0]
    else:
        assert np.array_equal(seen, picture) and not summary.notes


def test_a_photo_is_never_its_own_mask(tmp_path: Path) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    with pytest.raises(InputError, match=r"no mask of 0\.png in .*images, expected 0_mask\.png"):
        import_transforms(path, None, ImportOptions(tmp_path / "out", masks=tmp_path / "in/images"))
    shutil.copytree(tmp_path / "in/images", tmp_path / "copies")
    with pytest.raises(InputError, match="the photo itself"):
        import_transforms(path, None, ImportOptions(tmp_path / "out", masks=tmp_path / "copies"))
    grey = np.random.default_rng(0).integers(100, 256, (16, 16), dtype=np.uint8)
    with pytest.raises(InputError, match="the photo itself"):
        apply_mask(np.repeat(grey[..., None], 3, axis=2), grey)
    assert not (tmp_path / "out").exists()


MASK_FAULTS = {"marks no object": np.zeros((16, 24), dtype=bool), "invert it": np.ones((16, 24), dtype=bool)}
MASK_FAULTS["invert it"][4:12, 6:18] = False
MASK_FAULTS["marks the whole image"] = np.ones((16, 24), dtype=bool)


@pytest.mark.parametrize("said", MASK_FAULTS)
@pytest.mark.parametrize("coding", ["bytes", "0 and 1"])
def test_masks_of_nothing_and_of_the_background_are_refused(tmp_path: Path, said: str, coding: str) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    for index in range(6):
        coded(tmp_path / f"masks/{index}.png", coding, MASK_FAULTS[said])
    with pytest.raises(InputError, match=rf"0\.png {said}|0\.png .* {said}"):
        import_transforms(path, None, ImportOptions(tmp_path / "out", masks=tmp_path / "masks"))
    assert not (tmp_path / "out").exists()


def test_masks_lie_as_the_images_do_and_none_is_two_images(tmp_path: Path) -> None:
    images = [tmp_path / f"images/{camera}/0.png" for camera in ("front", "back")]
    for path in [*images, *(tmp_path / f"masks/{camera}/0.png.png" for camera in ("front", "back"))]:
        write_picture(path, np.zeros((4, 4), dtype=np.uint8))
    assert [mask.parent.name for mask in find_masks(tmp_path / "masks", images).values()] == ["front", "back"]
    write_picture(tmp_path / "flat/0.png", np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(InputError, match=r"would be that of .*front/0\.png and of .*back/0\.png"):
        find_masks(tmp_path / "flat", images)


@pytest.mark.parametrize("key", ["mask_path", "mask", "mask_filename"])
def test_masks_that_frames_name_are_used_or_missed(tmp_path: Path, key: str) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    content = json.loads(path.read_text())
    mask = np.zeros((16, 24), dtype=bool)
    mask[4:9, 5:15] = True
    for index, frame in enumerate(content["frames"]):
        coded(tmp_path / f"in/masks/{index}.png", "0 and 1", mask)
        frame[key] = f"masks\\{index}.png"
    write_json(path, content)
    assert import_transforms(path, None, ImportOptions(tmp_path / "a")).cut_out
    del content["frames"][4][key]
    write_json(path, content)
    with pytest.raises(InputError, match=r"1 of 6 frames have no mask_path, the first is that of 4\.png"):
        import_transforms(path, None, ImportOptions(tmp_path / "b"))
    content["frames"][4][key] = "mask/4.png"
    write_json(path, content)
    with pytest.raises(InputError, match=rf"{key} 'mask/4.png' of frame 4 .*no such image"):
        import_transforms(path, None, ImportOptions(tmp_path / "b"))


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_texts_of_any_editor(tmp_path: Path, encoding: str) -> None:
    names = [f"gehäuse_{index}.png" for index in range(6)]
    for name, written in zip(write_pictures(tmp_path / "in/images"), names):
        (tmp_path / "in/images" / name).rename(tmp_path / "in/images" / written)
    write_colmap(tmp_path / "in/sparse/0", names, ring(), PINHOLE, binary=False)
    header, rows = "filename;rx;ry;rz;x;y;z", [f"{name};0,1;0;0;1,5;{place};3" for place, name in enumerate(names)]
    (tmp_path / "in/poses.csv").write_text("\r\n".join([header, *rows]), encoding="utf-8")
    frames = [{"file_path": f"images/{name}", "transform_matrix": pose.tolist()} for name, pose in zip(names, ring())]
    (tmp_path / "in/transforms.json").write_text(
        json.dumps({**NERFSTUDIO, "frames": frames}, ensure_ascii=False), encoding="utf-8"
    )
    for path in [*(tmp_path / "in").glob("*.*"), *(tmp_path / "in/sparse/0").iterdir()]:
        path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
        assert "\ufeff" not in read_text(path)
    assert import_transforms(tmp_path / "in", None, ImportOptions(tmp_path / "a")).images == 6
    assert import_colmap(tmp_path / "in", None, ImportOptions(tmp_path / "b")).images == 6
    table = PoseTableOptions(tmp_path / "in/images", "opencv", "c2w", focal=33.0)
    found, _ = read_poses(tmp_path / "in/poses.csv", table)
    assert [name for name, _ in found] == names and found[2][1][:3, 3].tolist() == [1.5, 2.0, 3.0]


def test_models_written_by_hand_need_no_lines_of_points(tmp_path: Path) -> None:
    write_colmap(tmp_path / "in/sparse/0", write_pictures(tmp_path / "in/images"), ring(), PINHOLE, binary=False)
    path = tmp_path / "in/sparse/0/images.txt"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if line.endswith(".png")))
    assert import_colmap(tmp_path / "in", None, ImportOptions(tmp_path / "out")).images == 6


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"camera_angle_x": 40.1}, "convert degrees"), ({"fl_x": 330.0, "cx": 120.0}, "give the w and h")],
)
def test_cameras_in_other_units_or_of_other_images_are_refused(tmp_path: Path, keys: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_transforms(source(tmp_path / "in", keys))


NO_POSE: dict[str, object] = {"missing": None, "null": None, "NaN": [[float("nan")] * 4] * 4, "short": [[1.0]]}


@pytest.mark.parametrize("fault", NO_POSE)
def test_frames_without_a_pose_are_counted_while_they_are_few(tmp_path: Path, fault: str) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    content = json.loads(path.read_text())
    content["frames"][1]["transform_matrix"] = NO_POSE[fault]
    content["frames"].append(content["frames"][0])
    if fault == "missing":
        del content["frames"][1]["transform_matrix"]
    write_json(path, content)
    summary = import_transforms(path, None, ImportOptions(tmp_path / "out"))
    assert summary.images == 5 and "no pose" in summary.skipped[0] and "listed twice" in summary.skipped[1]
    assert "5 of 7 imported, 2 skipped" in "\n".join(summary.lines())
    for frame in content["frames"][1:4]:
        frame["transform_matrix"] = NO_POSE[fault]
    write_json(path, content)
    with pytest.raises(InputError, match="frame 1"):
        import_transforms(path, None, ImportOptions(tmp_path / "other"))


def test_one_image_with_two_poses_is_an_error(tmp_path: Path) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    content = json.loads(path.read_text())
    content["frames"][1]["file_path"] = "images/0.png"
    write_json(path, content)
    with pytest.raises(InputError, match="listed twice with different poses"):
        import_transforms(path, None, ImportOptions(tmp_path / "out"))


def polycam(folder: Path, poses: np.ndarray) -> Path:
    write_pictures(folder / "keyframes/images", len(poses))
    for index, pose in enumerate(poses):
        arkit = pose[[1, 2, 0, 3]]  # y is up
        keys = {f"t_{row}{column}": arkit[row, column] for row in range(3) for column in range(4)}
        camera = {"width": 24, "height": 16, "fx": 33.0, "fy": 33.0, "cx": 12.0, "cy": 8.0}
        write_json(folder / f"keyframes/cameras/{index}.json", {**keys, **camera})
    return folder


def record3d(folder: Path, poses: np.ndarray) -> Path:
    write_pictures(folder / "rgb", len(poses))
    arkit = poses[:, [1, 2, 0, 3]]
    rows = np.concatenate([Rotation.from_matrix(arkit[:, :3, :3]).as_quat(), arkit[:, :3, 3]], axis=1)
    keys = {"w": 24, "h": 16, "K": [33.0, 0, 0, 0, 33.0, 0, 12.0, 8.0, 1], "poses": rows.tolist()}
    return write_json(folder / "metadata.json", keys)


def llff(folder: Path, poses: np.ndarray) -> Path:
    write_pictures(folder / "images", len(poses))
    columns = [-poses[:, :3, 1], poses[:, :3, 0], poses[:, :3, 2], poses[:, :3, 3]]
    size = np.tile([16.0, 24.0, 33.0], (len(poses), 1))
    table = np.stack([*columns, size], axis=2).reshape(-1, 15)
    np.save(folder / "poses_bounds.npy", np.concatenate([table, np.ones((len(poses), 2))], axis=1))
    return folder


def splatting(folder: Path, poses: np.ndarray) -> Path:
    names = write_pictures(folder / "images", len(poses))
    cameras = [
        {"id": index, "img_name": name[:-4], "width": 24, "height": 16, "fx": 33.0, "fy": 33.0}
        | {"rotation": (pose @ FLIP)[:3, :3].tolist(), "position": pose[:3, 3].tolist()}
        for index, (name, pose) in enumerate(zip(names, poses))
    ]
    return write_json(folder / "cameras.json", cameras)


@pytest.mark.parametrize("write", [polycam, record3d, llff, splatting], ids=lambda write: write.__name__)
def test_exports_that_hold_all_are_read(tmp_path: Path, write: Callable[[Path, np.ndarray], Path]) -> None:
    poses = ring(radius=4.0)
    import_transforms(write(tmp_path / "in", poses), None, ImportOptions(tmp_path / "out", keep_world=True))
    views = load_views(tmp_path / "out", 800, WHITE)
    assert np.allclose(views.camera_to_world.numpy(), poses, atol=1e-5)
    assert views.intrinsics.focal_x == pytest.approx(33.0)


def test_trajectories_in_tums_form(tmp_path: Path) -> None:
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    (tmp_path / "images").mkdir()
    for index, (name, pose) in enumerate(zip(write_pictures(tmp_path / "raw"), ring() @ FLIP)):
        shutil.copy(tmp_path / "raw" / name, tmp_path / f"images/130503.{index}1.png")
        numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        lines.append(" ".join([f"130503.{index}1", *(f"{number:.12f}" for number in numbers)]))
    (tmp_path / "trajectory.txt").write_text("\n".join(lines))
    table = PoseTableOptions(tmp_path / "images", "opencv", "c2w", focal=33.0)
    assert (
        import_poses(tmp_path / "trajectory.txt", table, ImportOptions(tmp_path / "out", keep_world=True)).images == 6
    )
    assert np.allclose(load_views(tmp_path / "out", 800, WHITE).camera_to_world.numpy(), ring(), atol=1e-5)


EXPORTS = {
    "cameras.xml": ('<?xml version="1.0"?><document version="2.0.0"><chunk label="1"></chunk></document>', "Metashape"),
    "rc.csv": ("#name,x,y,alt,heading,pitch,roll\n0.png,1,2,3,4,5,6\n", "RealityCapture"),
    "cameras.sfm": ('{"version": ["1"], "views": [{"viewId": "1", "poseId": "1"}]}', "Meshroom"),
    "sfm_data.json": ('{"sfm_data_version": "0.3", "views": []}', "OpenMVG"),
    "reconstruction.json": ('[{"cameras": {}, "shots": {}}]', "OpenDroneMap"),
    "bundle.out": ("# Bundle file v0.3\n1 0\n", "Bundler"),
    "cameras.yml": ("%YAML:1.0\n---\nK: 1\n", "OpenCV"),
    "scene.unity": ("m_LocalPosition: {x: 0, y: 1, z: 2}\n", "negate z"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTS)
def test_other_exports_are_named_with_the_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(EXPORTS[name][0])
    table = PoseTableOptions(tmp_path, "opencv", "c2w", focal=33.0)
    options = ImportOptions(tmp_path / "out")
    readers: list[Callable[[], object]] = [
        lambda: import_transforms(tmp_path / name, None, options),
        lambda: import_transforms(tmp_path / name if name == "scene.unity" else tmp_path, None, options),
        lambda: import_poses(tmp_path / name, table, options),
    ]
    readers += [] if name == "scene.unity" else [lambda: import_colmap(tmp_path, None, options)]
    for read in readers:
        with pytest.raises(InputError, match=rf"{EXPORTS[name][1]}|not read; .*{EXPORTS[name][1]}"):
            read()


@given(
    st.binary(max_size=120), st.sampled_from(["metadata.json", "cameras.json", "poses_bounds.npy", "mesh_info.json"])
)
def test_exports_of_any_bytes_end_in_a_sentence(content: bytes, name: str) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        with pytest.raises(InputError):
            import_transforms(Path(folder), None, ImportOptions(Path(folder) / "out"))


def test_an_import_that_fails_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    (tmp_path / "in/images/4.png").write_bytes((tmp_path / "in/images/4.png").read_bytes()[:-200])
    with pytest.raises(InputError, match=r"4\.png cannot be read"):
        import_transforms(path, None, ImportOptions(tmp_path / "out"))
    assert {entry.name for entry in tmp_path.iterdir()} == {"in"}
    shutil.copy(tmp_path / "in/images/3.png", tmp_path / "in/images/4.png")
    import_transforms(path, None, ImportOptions(tmp_path / "out"))
    (tmp_path / "out/notes.txt").write_text("mine")
    before = contents(tmp_path / "out")

    def fail(*_: object) -> None:
        raise OSError("no space is left")

    monkeypatch.setattr(layout, "write_text", fail)
    with pytest.raises(OSError, match="no space"):
        import_transforms(path, None, ImportOptions(tmp_path / "out", overwrite=True))
    assert contents(tmp_path / "out") == before and {entry.name for entry in tmp_path.iterdir()} == {"in", "out"}


def test_masks_of_an_object_that_is_replaced_do_not_cut_out_the_next(tmp_path: Path) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    write_picture(tmp_path / "out/masks/train/good/0.png", np.zeros((16, 24), dtype=np.uint8))
    with pytest.raises(InputError, match="would cut out the new images; move it away"):
        import_transforms(path, None, ImportOptions(tmp_path / "out", overwrite=True))


def test_the_doctor_reads_what_training_reads(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    frames = frames_of(folder)
    for frame in frames:
        frame["file_path"] = frame["file_path"].replace("/", "\\")
    write_transforms(folder, frames)
    assert doctor_command([str(folder), "--quiet"]) in (0, 1)
