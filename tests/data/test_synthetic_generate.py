"""A small generated set: its layout, its bytes, its masks and its light."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.commands import generate_command as main
from data.mad_facts import DEFECTS
from data.synthetic import defects
from data.synthetic.config import GOOD, DatasetJob, ImageSpec, ToyConfig, toy_jobs, toy_path
from data.synthetic.generate import generate
from data.synthetic.lighting import Lighting, make_lighting
from data.synthetic.placed_model import coverage, place_toy
from data.synthetic.scene import linear_from_srgb, srgb_from_linear
from data.synthetic.toy_renderer import ToyRenderer, make_renderer, plan_defect, random_of
from data.synthetic.toys import read_toy
from data.synthetic.viewpoints import camera_at, grid_angles, spread_views
from utils.camera import look_at
from utils.errors import InputError

SMALL = ToyConfig("submarine", views=5, queries=3, image_size=96, seed=3)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys") / "submarine"
    generate([DatasetJob(SMALL, folder)])
    return folder


@pytest.fixture(scope="module")
def renderer() -> ToyRenderer:
    return make_renderer(SMALL)


def test_layout_is_mads(small: Path) -> None:
    expected = {"transforms.json", "poses_truth.json", "synthetic.json"}
    expected |= {f"train/good/{number}.png" for number in range(5)}
    expected |= {f"test/{kind}/{number}.png" for kind in (GOOD, *DEFECTS) for number in range(3)}
    expected |= {f"ground_truth/{kind}/{number}_mask.png" for kind in DEFECTS for number in range(3)}
    assert set(files_of(small)) == expected
    picture, mask = Image.open(small / "test/Burrs/0.png"), Image.open(small / "ground_truth/Burrs/0_mask.png")
    assert (picture.mode, picture.size, mask.mode, mask.size) == ("RGB", (96, 96), "L", (96, 96))
    assert set(np.unique(mask)) == {0, 255}


def test_cameras_are_written_as_they_were(small: Path) -> None:
    transforms = json.loads((small / "transforms.json").read_text())
    assert transforms["camera_angle_x"] == pytest.approx(0.6911112)
    for index, (frame, number) in enumerate(zip(transforms["frames"], spread_views(5), strict=True)):
        assert frame["file_path"] == f"train/good/{index}.png"
        assert torch.allclose(torch.tensor(frame["transform_matrix"]), camera_at(*grid_angles()[number]))
    poses = json.loads((small / "poses_truth.json").read_text())
    assert list(poses) == [f"{kind}/{number}" for kind in (GOOD, *DEFECTS) for number in range(3)]
    for pose in poses.values():
        pose = torch.tensor(pose)
        upright = look_at(pose[:3, 3], torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        assert torch.allclose(pose, upright, atol=1e-5)


def test_same_seed_gives_the_same_bytes_whatever_the_workers(small: Path, tmp_path: Path) -> None:
    other = ToyConfig("goose", views=2, queries=0, good=1, image_size=96)
    generate([DatasetJob(SMALL, tmp_path / "again"), DatasetJob(other, tmp_path / "goose")], workers=2)
    assert files_of(tmp_path / "again") == files_of(small)
    assert len(files_of(tmp_path / "goose")) == 2 + 1 + 3


def test_a_second_run_makes_only_what_is_missing(small: Path) -> None:
    before = files_of(small)
    kept = (small / "train/good/1.png").stat().st_mtime_ns
    for name in ("train/good/0.png", "test/Stains/2.png", "transforms.json"):
        (small / name).unlink()
    generate([DatasetJob(SMALL, small)])
    assert files_of(small) == before
    assert (small / "train/good/1.png").stat().st_mtime_ns == kept


def test_a_folder_is_never_mixed(small: Path, tmp_path: Path) -> None:
    before = files_of(small)
    with pytest.raises(InputError, match="seed = 3 there, 4 now"):
        generate([DatasetJob(replace(SMALL, seed=4), small)])
    assert files_of(small) == before
    (tmp_path / "photo.png").write_bytes(b"mine")
    with pytest.raises(InputError, match="not empty"):
        generate([DatasetJob(SMALL, tmp_path)])


@pytest.mark.parametrize("kind", DEFECTS)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_masks_are_exactly_what_changed(small: Path, renderer: ToyRenderer, kind: str, number: int) -> None:
    spec = ImageSpec(kind, number)
    pose, defect = plan_defect(renderer, spec, random_of(SMALL, spec))
    photo = renderer.render(pose, defect, 5, spec)
    picture, mask = photo.image, photo.mask
    assert np.array_equal(mask, np.array(Image.open(small / f"ground_truth/{kind}/{number}_mask.png")) > 0)
    assert mask.mean() >= defects.SMALLEST_AREA
    intact = renderer.render(pose, defects.Defect(), 5, spec)
    clean = intact.image
    assert not intact.mask.any()
    assert (intact.silhouette | mask | ~photo.silhouette).all()  # a burr alone reaches beyond the toy
    difference = np.abs(picture.astype(int) - clean).max(axis=2)
    assert (difference[mask] > 0).mean() > 0.9
    assert difference[mask].mean() > 3 * difference[~mask].mean()
    background = (clean == 255).all(axis=2)
    assert (picture[background & ~mask] >= 100).all()  # an edge at most, half of a pixel or less
    if kind == "Missing":  # nothing appears where the toy was not
        assert (picture[background] == 255).all() and not (mask & background).any()
    if kind == "Stains":  # nothing but colour changes: no silhouette, and no light farther off
        assert np.array_equal((picture == 255).all(axis=2), background)
        assert difference[~grown(mask, 2)].max() == 0


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    return binary_dilation(mask, np.ones((3, 3)), iterations=by)


@pytest.mark.parametrize(("kind", "median"), [("Burrs", 0.0015), ("Missing", 0.0087), ("Stains", 0.0011)])
def test_draw_areas_follow_mads(kind: str, median: float) -> None:
    areas = defects.draw_areas(kind, 1000, np.random.default_rng(0))
    _, smallest, largest, _ = defects.AREAS[kind]
    assert np.median(areas) == pytest.approx(median, rel=0.01)
    assert smallest <= areas.min() < areas.max() <= largest
    assert areas.max() > 3 * median and areas.min() < median / 3
    few = defects.draw_areas(kind, 8, np.random.default_rng(1))
    assert np.median(few) == pytest.approx(median, rel=0.35)


def test_stain_is_unlike_what_lies_beneath(renderer: ToyRenderer) -> None:
    for number in range(3):
        spec = ImageSpec("Stains", number)
        pose, defect = plan_defect(renderer, spec, random_of(SMALL, spec))
        sight = defects.visible_surface(renderer.model, renderer.scene, pose, renderer.intrinsics)
        beneath = renderer.scene.albedo_of_face[sight.hits.faces[defect.stain.weight(sight.points) > 0]]
        distance = defects.colour_distance(srgb_from_linear(beneath), srgb_from_linear(defect.stain.albedo))
        assert distance.min() > 25


def test_background_is_pure_white_and_corners_hold_no_toy(small: Path) -> None:
    for path in sorted((small / "train/good").glob("*.png")):
        picture = np.array(Image.open(path))
        assert (picture[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
        assert 0.5 < (picture == 255).all(axis=2).mean() < 0.95


def test_toy_fills_as_much_of_the_frame_as_mads_objects() -> None:
    shares = coverage(place_toy(read_toy(toy_path("locomotive"))))
    assert shares.mean() == pytest.approx(0.21, abs=0.005)


def test_white_and_black_bricks_are_as_bright_as_mads() -> None:
    for toy, low, high in (("goose", 140, 180), ("beetle", 36, 52)):
        renderer = make_renderer(ToyConfig(toy, image_size=64))
        values = []
        for number in range(10, 210, 40):
            pose = camera_at(*grid_angles()[number])
            picture = renderer.render(pose, defects.Defect(), number, ImageSpec("train", number)).image
            values.append(np.median(picture[(picture < 250).all(axis=2)]))
        assert low < np.mean(values) < high


def test_glaring_light_changes_with_the_viewpoint_and_matt_does_not() -> None:
    """A face seen mirror-wise from a lamp is far brighter than the same face seen from elsewhere."""

    def spread(gloss: str) -> float:
        lighting: Lighting = make_lighting(gloss)
        directions = np.array([camera_at(*angles)[:3, 2].numpy() for angles in grid_angles()])
        mirrored = directions * np.array([-1, -1, 1])  # of a face that looks up
        seen = lighting.radiance(np.zeros_like(mirrored), mirrored.astype(np.float32))[directions[:, 2] > 0.2]
        return float(lighting.reflectance * np.ptp(seen))

    assert spread("glaring") > 0.3
    assert spread("mild") < 0.15
    assert spread("none") == 0


def test_irradiance_of_an_even_sky_is_its_radiance() -> None:
    lighting = make_lighting("none")
    normals = np.eye(3, dtype=np.float32)
    directions = np.random.default_rng(0).normal(size=(200_000, 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radiance = lighting.radiance(np.zeros_like(directions), directions)
    for normal in normals:
        slow = 4 * (np.maximum(directions @ normal, 0)[:, None] * radiance).mean(axis=0)
        assert lighting.irradiance(normal[None])[0] == pytest.approx(slow, rel=0.05)


def test_srgb_there_and_back() -> None:
    values = np.arange(256)
    assert np.allclose(srgb_from_linear(linear_from_srgb(values)) * 255, values, atol=1e-3)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--toy", "gose"], "no toy 'gose'; did you mean goose"),
        (["--model", "model.ldr"], "no toy 'model.ldr'"),
        (["--toy", "goose", "--background", "nowhere"], "--background"),
        (["--toy", "goose", "--ldraw", "nowhere"], "--ldraw"),
        (["--toy", "goose", "--views", "500"], "1 to 210"),
        (["--toy", "goose", "--image_size", "4"], "image_size must be 16 to 4096, found 4"),
        (["--toy", "goose", "--workers", "0"], "workers = 0"),
    ],
)
def test_command_line_says_what_is_wrong(tmp_path: Path, extra: list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        main(["--out", str(tmp_path / "toy"), *extra])
    assert message in str(error.value)
    assert not (tmp_path / "toy").exists()


def test_command_line_lists_the_toys(capsys) -> None:
    assert main(["--list"]) == 0
    assert "locomotive" in capsys.readouterr().out.split()


def test_changed_light_falls_on_the_queries_alone(small: Path, tmp_path: Path) -> None:
    generate([DatasetJob(replace(SMALL, light="changed"), tmp_path / "toy")])
    usual, other = files_of(small), files_of(tmp_path / "toy")
    same = {name for name in usual if usual[name] == other[name]}
    assert {name for name in usual if not name.startswith("test/")} - {"synthetic.json"} <= same
    assert not any(name.startswith("test/") for name in same)


def test_backgrounds_leave_the_toy_as_it_is_and_masks_tell_where_it_is(small: Path, tmp_path: Path) -> None:
    paper = np.zeros((80, 120, 3), np.uint8)
    paper[..., 1] = 250
    (tmp_path / "papers").mkdir()
    Image.fromarray(paper).save(tmp_path / "papers" / "green.png")
    generate([DatasetJob(replace(SMALL, background=tmp_path / "papers"), tmp_path / "toy")])
    assert files_of(tmp_path / "toy" / "ground_truth") == files_of(small / "ground_truth")
    for place in ("train/good/1.png", "test/Missing/0.png"):
        picture, white = (np.array(Image.open(folder / place)) for folder in (tmp_path / "toy", small))
        mask = np.array(Image.open(tmp_path / "toy" / "masks" / place)) == 255
        assert np.array_equal(picture[(white == 255).all(axis=2)], paper[0, [0] * (white == 255).all(axis=2).sum()])
        inside = ~grown(~mask, 2)
        assert inside.any() and np.array_equal(picture[inside], white[inside])
        assert not (mask & (white == 255).all(axis=2)).any()


def test_the_preset_has_as_many_images_as_mad(tmp_path: Path) -> None:
    jobs = toy_jobs(ToyConfig(), None, "mad-20", tmp_path)
    assert len({job.folder for job in jobs}) == len(jobs) == 20
    assert {tuple(job.config.counts.items()) for job in jobs} == {
        (("train", 210), ("good", 27), ("Burrs", 77), ("Missing", 77), ("Stains", 77))
    }
    assert toy_jobs(ToyConfig("all"), None, None, tmp_path)[0].folder.parent == tmp_path


@pytest.mark.parametrize(
    ("extra", "message"), [([], "none of them"), (["--toy", "goose", "--preset", "mad-20"], "--toy and --preset")]
)
def test_one_thing_is_generated(tmp_path: Path, extra: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        main(["--out", str(tmp_path), *extra])
