from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from data.__main__ import main
from data.import_options import ImportOptions
from data.import_transforms import import_transforms, read_transforms
from data.lens import Lens
from data.mad import load_views
from data.world import apply_similarity
from tests.data.sources import ring, write_json, write_photo, write_pictures
from tests.mad_folder import read_transforms as frames_of
from tests.mad_folder import write_picture
from utils.errors import InputError

WHITE = (1.0, 1.0, 1.0)


def source(
    folder: Path,
    keys: dict,
    suffix: bool = True,
    alpha: bool = False,
    poses: np.ndarray | None = None,
    size: tuple[int, int] = (24, 16),
) -> Path:
    poses = ring() if poses is None else poses
    names = write_pictures(folder / "images", len(poses), *size, alpha=alpha)
    frames = [
        {"file_path": f"./images/{name if suffix else name[:-4]}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names, poses)
    ]
    return write_json(folder / "transforms.json", {**keys, "frames": frames})


def taken(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / "train/good" / name))


BLENDER = {"camera_angle_x": 0.7}
NULLS = {"camera_angle_x": 0.7, "cx": None, "w": None, "k1": None, "camera_model": None}
NERFSTUDIO = {"camera_model": "OPENCV", "fl_x": 33.0, "fl_y": 33.0, "cx": 12.0, "cy": 8.0, "w": 24, "h": 16, "k1": 0.0}
INSTANT_NGP = {"fl_x": 33.0, "w": 24.0, "h": 16.0, "aabb_scale": 4, "scale": 0.3, "offset": [0.5, 0.5, 0.5]}


@pytest.mark.parametrize(
    ("keys", "suffix", "alpha"),
    [
        (BLENDER, False, True),
        (BLENDER, True, False),
        (NULLS, True, False),
        (NERFSTUDIO, True, False),
        (INSTANT_NGP, True, False),
    ],
)
def test_a_world_that_fits_comes_over_exactly(tmp_path: Path, keys: dict, suffix: bool, alpha: bool) -> None:
    poses = ring()
    summary = import_transforms(source(tmp_path / "in", keys, suffix, alpha), None, ImportOptions(tmp_path / "out"))
    views = load_views(tmp_path / "out", 800, WHITE)
    assert summary.images == len(views) == 6 and not summary.skipped
    assert np.allclose(views.camera_to_world.numpy(), poses, atol=1e-6)
    expected = 12 / np.tan(0.35) if "camera_angle_x" in keys else 33.0
    assert (views.intrinsics.focal_x, views.intrinsics.centre_x) == pytest.approx((expected, 12.0))
    assert (views.alphas is not None) == alpha
    for name in ("0.png", "5.png"):
        original, copy = (
            np.asarray(Image.open(tmp_path / "in/images" / name)).astype(int),
            taken(tmp_path / "out", name),
        )
        solid = original[..., 3] > 40 if alpha else np.ones(original.shape[:2], dtype=bool)
        assert np.array_equal(copy[..., 3:], original[..., 3:])
        assert np.abs(copy[..., :3] - original[..., :3])[solid].max() <= (1 if alpha else 0)


def test_a_world_elsewhere_is_centred_and_scaled_and_the_way_back_is_written(tmp_path: Path) -> None:
    poses = ring(radius=55.0, centre=(10.0, -20.0, 30.0))
    summary = import_transforms(source(tmp_path / "in", BLENDER, poses=poses), None, ImportOptions(tmp_path / "out"))
    views = load_views(tmp_path / "out", 800, WHITE)
    assert np.allclose(views.camera_to_world.numpy(), ring(radius=4.0), atol=1e-5)
    assert summary.scale == pytest.approx(4.0 / 55.0) and summary.distances == pytest.approx(4.0)
    content = json.loads((tmp_path / "out/transforms.json").read_text())
    back = apply_similarity(np.linalg.inv(content["source_to_world"]), views.camera_to_world.double().numpy())
    assert np.allclose(back, poses, atol=1e-4)


def test_keep_world_leaves_the_poses(tmp_path: Path) -> None:
    poses = ring(radius=55.0, centre=(10.0, -20.0, 30.0))
    options = ImportOptions(tmp_path / "out", keep_world=True)
    import_transforms(source(tmp_path / "in", BLENDER, poses=poses), None, options)
    assert np.allclose([frame["transform_matrix"] for frame in frames_of(tmp_path / "out")], poses)


def test_pictures_that_are_missing_are_listed(tmp_path: Path) -> None:
    path = source(tmp_path / "in", BLENDER)
    (tmp_path / "in/images/2.png").unlink()
    summary = import_transforms(path, None, ImportOptions(tmp_path / "out"))
    assert summary.images == 5 and summary.skipped == [f"./images/2.png (no such image in {tmp_path}/in)"]
    assert "2.png" in "\n".join(summary.lines())


def test_frames_may_have_their_own_cameras(tmp_path: Path) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    content = json.loads(path.read_text())
    content["frames"][3] |= {"fl_x": 66.0, "fl_y": 66.0}
    write_json(path, content)
    summary = import_transforms(path, None, ImportOptions(tmp_path / "out"))
    original = np.asarray(Image.open(tmp_path / "in/images/3.png")).astype(float)
    middle = taken(tmp_path / "out", "3.png")[4:12, 6:18]  # what was 24 x 16 at twice the focal length is 12 x 8 now
    assert summary.camera.focal_x == 33.0 and summary.filled == pytest.approx(0.75, abs=0.15)
    assert (taken(tmp_path / "out", "3.png")[:2] == 255).all()
    assert np.corrcoef(middle.ravel(), original.reshape(8, 2, 12, 2, 3).mean(axis=(1, 3)).ravel())[0, 1] > 0.8


def test_smaller_copies_of_the_pictures_are_understood(tmp_path: Path) -> None:
    path = source(
        tmp_path / "in", {**NERFSTUDIO, "fl_x": 330.0, "fl_y": 330.0, "cx": 120, "cy": 80, "w": 240, "h": 160}
    )
    assert import_transforms(path, None, ImportOptions(tmp_path / "out")).camera.focal_x == pytest.approx(33.0)


def test_pictures_of_other_proportions_are_an_error(tmp_path: Path) -> None:
    path = source(tmp_path / "in", {**NERFSTUDIO, "w": 16, "h": 24})
    with pytest.raises(InputError, match=r"proportions"):
        import_transforms(path, None, ImportOptions(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_masks_become_alpha(tmp_path: Path) -> None:
    path = source(tmp_path / "in", BLENDER)
    for index in range(6):
        mask = np.zeros((16, 24), dtype=np.uint8)
        mask[4:9, 5 : 10 + index] = 255
        write_picture(tmp_path / f"masks/{index}.png", mask)
    summary = import_transforms(path, None, ImportOptions(tmp_path / "out", masks=tmp_path / "masks"))
    views = load_views(tmp_path / "out", 800, WHITE)
    assert summary.cut_out and views.alphas is not None
    for index in range(6):
        assert (views.alphas[index] == 255).sum() == 5 * (5 + index)
    assert (views.images[0][0] == 255).all()
    (tmp_path / "masks/4.png").unlink()
    with pytest.raises(InputError, match=r"no mask of 4\.png"):
        import_transforms(path, None, ImportOptions(tmp_path / "out2", masks=tmp_path / "masks"))


def test_queries_and_their_truth_go_through_the_same_lens(tmp_path: Path) -> None:
    path = source(tmp_path / "in", {**NERFSTUDIO, "cx": 16.0})
    write_pictures(tmp_path / "mine/test/good", 2)
    write_pictures(tmp_path / "mine/test/Stains", 1)
    mask = np.zeros((16, 24), dtype=np.uint8)
    mask[4:8, 10:14] = 255
    write_picture(tmp_path / "mine/ground_truth/Stains/0_mask.png", mask)
    summary = import_transforms(path, None, ImportOptions(tmp_path / "out", test=tmp_path / "mine/test"))
    assert summary.queries == 3
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/test/good/1.png")), taken(tmp_path / "out", "1.png"))
    truth = np.asarray(Image.open(tmp_path / "out/ground_truth/Stains/0_mask.png"))
    assert np.array_equal(truth, np.roll(mask, -4, axis=1))


def test_queries_are_turned_and_cut_out_by_their_masks(tmp_path: Path) -> None:
    path = source(tmp_path / "in", NERFSTUDIO)
    names = write_pictures(tmp_path / "mine/test/Stains", 2)
    sensor = np.random.default_rng(3).integers(0, 256, (24, 16, 3), dtype=np.uint8)
    write_photo(tmp_path / "mine/test/Stains/1.png", 6, sensor)  # stored tall, looked at wide
    for place, rows in (("mine/masks/Stains/0.png", 5), ("mine/masks/1.png", 9)):
        mask = np.zeros((16, 24), dtype=np.uint8)
        mask[:rows] = 255
        write_picture(tmp_path / place, mask)
    options = ImportOptions(tmp_path / "out", test=tmp_path / "mine/test", test_masks=tmp_path / "mine/masks")
    with pytest.raises(InputError, match=r"no mask of 1\.png in .*Stains"):
        import_transforms(path, None, replace(options, out=tmp_path / "other"))
    (tmp_path / "mine/masks/1.png").rename(tmp_path / "mine/masks/Stains/1.png")
    assert import_transforms(path, None, options).queries == len(names)
    for name, rows in (("0.png", 5), ("1.png", 9)):
        alpha = np.asarray(Image.open(tmp_path / "out/test/Stains" / name))[..., 3]
        assert alpha.shape == (16, 24) and (alpha[:rows] == 255).all() and (alpha[rows:] == 0).all()


def test_the_lens_of_the_photos_is_kept(tmp_path: Path) -> None:
    import_transforms(source(tmp_path / "in", {**NERFSTUDIO, "k1": 0.1}), None, ImportOptions(tmp_path / "out"))
    entry = json.loads((tmp_path / "out/transforms.json").read_text())["photo_camera"]
    lens = Lens.from_entry(entry, "here")
    assert (lens.width, lens.height) == (24, 16) and lens.distortion[0] == 0.1 and lens.entry() == entry


@pytest.mark.parametrize(
    "damage",
    [{"w": "wide"}, {"fl_x": None}, {"distortion": [0.1, 0.2, 0.3]}, {"distortion": 7}, {"h": 0}, {"fl_y": 1e-9}],
)
def test_a_damaged_lens_is_told(damage: dict[str, object]) -> None:
    entry = {**Lens(24, 16, 30.0, 30.0, 12.0, 8.0, (0.1,)).entry(), **damage}
    with pytest.raises(InputError, match=r"of here|in here"):
        Lens.from_entry(entry, "here")


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    path = source(tmp_path / "in", BLENDER)
    import_transforms(path, None, ImportOptions(tmp_path / "out"))
    (tmp_path / "out/train/good/old.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"--overwrite"):
        import_transforms(path, None, ImportOptions(tmp_path / "out"))
    import_transforms(path, None, ImportOptions(tmp_path / "out", overwrite=True))
    assert len(load_views(tmp_path / "out", 800, WHITE)) == 6


def test_an_object_is_not_replaced_by_itself(tmp_path: Path) -> None:
    import_transforms(source(tmp_path / "in", BLENDER), None, ImportOptions(tmp_path / "out"))
    with pytest.raises(InputError, match=r"while it is read"):
        import_transforms(tmp_path / "out", None, ImportOptions(tmp_path / "out", overwrite=True))
    assert len(load_views(tmp_path / "out", 800, WHITE)) == 6


def test_a_name_that_leaves_the_folder_is_not_followed(tmp_path: Path) -> None:
    path = source(tmp_path / "in", BLENDER)
    write_pictures(tmp_path / "elsewhere", 1)
    content = json.loads(path.read_text())
    for index, name in enumerate(["../elsewhere/0.png", str(tmp_path / "elsewhere/0.png")]):
        content["frames"][index]["file_path"] = name
    write_json(path, content)
    assert len(read_transforms(path).skipped) == 2
    assert len(read_transforms(path, images=tmp_path / "elsewhere").skipped) == 0


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source(tmp_path / "in", BLENDER)
    arguments = ["import-transforms", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--image_size", "16"]
    assert main([*arguments, "--quiet"]) == 0
    assert "data doctor" in capsys.readouterr().out
    assert taken(tmp_path / "out", "0.png").shape == (11, 16, 3)
    with pytest.raises(InputError, match=r"image_size"):
        main([*arguments, "--image_size", "1e9"])
    with pytest.raises(InputError, match=r"--masks"):
        main([*arguments, "--masks", str(tmp_path / "no such")])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.pop("frames"), r"frames"),
        (lambda content: content.pop("camera_angle_x"), r"fl_x .* or camera_angle_x"),
        (lambda content: content.update(k1="much"), r"k1"),
        (lambda content: content.update(camera_model="EQUIRECTANGULAR"), r"camera_model"),
        (lambda content: [frame.pop("transform_matrix") for frame in content["frames"][1:3]], r"frame 1"),
        (lambda content: content["frames"][1].update(file_path=3), r"frame 1"),
        (lambda content: [frame["transform_matrix"][0].reverse() for frame in content["frames"][1:]], r"frame 1"),
        (lambda content: content["frames"].clear(), r"found 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change, told: str) -> None:
    path = source(tmp_path / "in", BLENDER)
    content = json.loads(path.read_text())
    change(content)
    write_json(path, content)
    with pytest.raises(InputError, match=told):
        import_transforms(path, None, ImportOptions(tmp_path / "out"))


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
numbers = st.floats() | st.integers(-3, 3) | anything
matrices = st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=3, max_size=4) | anything
keys = st.sampled_from(["fl_x", "fl_y", "cx", "cy", "w", "h", "k1", "k2", "p1", "k3", "camera_angle_x", "camera_model"])
names = st.sampled_from(["images/0.png", "images/1", "../x.png", "/etc/passwd", "images/0.png\0"]) | st.text(max_size=9)


@given(
    cameras=st.dictionaries(keys, numbers, max_size=6),
    changes=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["name", "matrix"]), names | matrices), max_size=3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_hostile_content_ends_in_a_sentence_or_an_object(
    tmp_path_factory: pytest.TempPathFactory, cameras: dict, changes: list
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    path = source(folder / "in", BLENDER)
    content = {**json.loads(path.read_text()), **cameras}
    for index, what, value in changes:
        content["frames"][index]["file_path" if what == "name" else "transform_matrix"] = value
    write_json(path, content)
    options = ImportOptions(folder / "out", image_size=64)
    try:
        summary = import_transforms(path, None, options)
    except InputError:
        assert not (folder / "out/transforms.json").exists()
    else:
        assert len(load_views(folder / "out", 800, WHITE)) == summary.images
    assert {entry.name for entry in folder.iterdir()} <= {"in", "out"}


@given(content=st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_hostile_files_end_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("hostile") / "transforms.json"
    path.write_bytes(content)
    with pytest.raises(InputError):
        import_transforms(path, None, ImportOptions(path.parent / "out"))
