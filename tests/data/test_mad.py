from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.mad import check_ground_truth, list_queries, load_views, query_fingerprint, views_fingerprint
from data.masks import apply_mask, mask_path, read_object_image
from tests.mad_folder import read_transforms, write_object, write_picture, write_transforms
from utils.errors import InputError

WHITE = (1.0, 1.0, 1.0)


def test_views_are_the_files(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy", views=12)
    views = load_views(folder, 400, WHITE)
    assert views.names == tuple(str(index) for index in range(12))  # the order of the frames, not 0, 1, 10, 11, 2
    for index in (0, 2, 11):
        picture = np.asarray(Image.open(folder / f"train/good/{index}.png"))
        assert torch.equal(views.images[index], torch.from_numpy(picture.copy()))
    assert views.alphas is None
    assert views.intrinsics.focal_x == pytest.approx(8 / math.tan(0.35))
    expected = torch.tensor(read_transforms(folder)[3]["transform_matrix"])
    torch.testing.assert_close(views.camera_to_world[3], expected)


def test_larger_pictures_are_area_averaged(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy", size=16)
    full, half = load_views(folder, 16, WHITE), load_views(folder, 8, WHITE)
    blocks = full.images.float().reshape(6, 8, 2, 8, 2, 3).mean(dim=(2, 4))
    assert (half.images.float() - blocks).abs().max() <= 0.5 + 1e-3
    assert half.intrinsics.focal_x == pytest.approx(full.intrinsics.focal_x / 2)
    assert half.intrinsics.centre_x == pytest.approx(4.0)


def test_transparent_pictures_are_laid_on_the_background(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy", views=2)
    for index in range(2):
        picture = np.zeros((16, 16, 4), dtype=np.uint8)
        picture[:8] = (200, 100, 0, 255)
        picture[8:] = (200, 100, 0, 51)  # alpha 0.2
        write_picture(folder / f"train/good/{index}.png", picture)
    views = load_views(folder, 400, WHITE)
    assert views.images[0, 0, 0].tolist() == [200, 100, 0]
    assert views.images[0, 15, 0].tolist() == [244, 224, 204]  # 0.2 colour + 0.8 white
    assert views.alphas is not None and views.alphas[0, 15, 0] == 51 and views.alphas[0, 0, 0] == 255


def test_alpha_that_is_opaque_everywhere_tells_nothing(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy", views=2)
    for index in range(2):
        write_picture(folder / f"train/good/{index}.png", np.full((16, 16, 4), 255, dtype=np.uint8))
    assert load_views(folder, 400, WHITE).alphas is None


def test_blender_names_without_suffix(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    frames = read_transforms(folder)
    for frame in frames:
        frame["file_path"] = "./" + frame["file_path"].removesuffix(".png")
    write_transforms(folder, frames)
    assert len(load_views(folder, 400, WHITE)) == 6


def test_queries_are_paired_with_masks_by_stem(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy", queries=("good", "Burrs", "Stains"))
    (folder / "test/Burrs/0.png").rename(folder / "test/Burrs/10.png")
    (folder / "ground_truth/Burrs/0_mask.png").rename(folder / "ground_truth/Burrs/10_mask.png")
    queries = list_queries(folder)
    assert [query.name for query in queries] == ["Burrs/1", "Burrs/10", "Stains/0", "Stains/1", "good/0", "good/1"]
    check_ground_truth(queries)
    assert [query.is_anomalous for query in queries] == [True] * 4 + [False] * 2
    assert queries[1].mask_path == folder / "ground_truth/Burrs/10_mask.png" and queries[-1].mask_path is None


def test_fingerprint_changes_with_content_only(tmp_path: Path) -> None:
    first, second = write_object(tmp_path / "a"), write_object(tmp_path / "b")
    assert views_fingerprint(first) == views_fingerprint(second)
    write_picture(second / "train/good/3.png", np.zeros((16, 16, 3), dtype=np.uint8))
    assert views_fingerprint(first) != views_fingerprint(second)


def test_ground_truth_is_not_needed_to_list(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy", queries=("good",))
    assert len(list_queries(folder)) == 2
    with pytest.raises(InputError, match="only good"):
        check_ground_truth(list_queries(folder))


def test_foreground_masks_cut_the_object_out(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy", views=2)
    before = views_fingerprint(folder)
    mask = np.zeros((16, 16), dtype=np.uint8)
    mask[4:12, 4:12] = 255
    mask[0, 0] = 51
    for index in range(2):
        write_picture(folder / f"masks/train/good/{index}.png", mask)
    assert views_fingerprint(folder) != before
    views, plain = load_views(folder, 400, WHITE), np.asarray(Image.open(folder / "train/good/1.png")).astype(float)
    assert views.alphas is not None and torch.equal(views.alphas[1], torch.from_numpy(mask))
    assert torch.equal(views.images[1, 4:12, 4:12], torch.from_numpy(plain[4:12, 4:12]).byte())
    assert (views.images[1, 13:] == 255).all()
    np.testing.assert_allclose(views.images[1, 0, 0], 0.2 * plain[0, 0] + 0.8 * 255, atol=0.51)


def test_foreground_masks_of_queries(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    path = folder / "test/Burrs/0.png"
    plain, before = read_object_image(path, folder, 400, WHITE), query_fingerprint(folder, list_queries(folder))
    assert mask_path(folder, path) is None and mask_path(folder, tmp_path / "photo.png") is None
    mask = np.full((16, 16), 255, dtype=np.uint8)
    mask[:, :8] = 0
    write_picture(folder / "masks/test/Burrs/0.png", mask)
    assert query_fingerprint(folder, list_queries(folder)) != before
    cut_out = read_object_image(path, folder, 400, WHITE)
    assert (cut_out[:, :8] == 1).all() and torch.equal(cut_out[:, 8:], plain[:, 8:])
    with pytest.raises(InputError, match=r"masks/test/Burrs/1\.png; add it"):
        read_object_image(folder / "test/Burrs/1.png", folder, 400, WHITE)


def test_a_picture_keeps_its_own_transparency() -> None:
    picture = np.full((2, 2, 4), 100, dtype=np.uint8)
    assert apply_mask(picture, np.array([[255, 50], [0, 100]], dtype=np.uint8))[..., 3].tolist() == [
        [100, 50],
        [0, 100],
    ]
    with pytest.raises(InputError, match="found 3x2"):
        apply_mask(picture, np.zeros((2, 3), dtype=np.uint8))


def test_missing_poses_point_to_capture(tmp_path: Path) -> None:
    folder = write_object(tmp_path / "toy")
    (folder / "transforms.json").unlink()
    with pytest.raises(FileNotFoundError, match="python -m data capture"):
        load_views(folder, 400, WHITE)
