"""Parts: several photos of one specimen of a little world get one verdict, and its defects a place on the surface."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import detect
import omniposead as pad
from nerf.settings import FieldConfig
from pipeline.good_parts import GoodParts
from pipeline.part_inspection import judge_part, lines_of
from pipeline.parts import connected, explained, find_next_view, share
from pipeline.photos import find_part
from pipeline.surface import Surface
from retrieval.settings import RetrievalConfig
from tests.inerf.scene import CENTRES, camera, render
from tests.mad_folder import write_picture
from tests.world import write_world
from utils.camera import Intrinsics, pixel_centres, world_rays
from utils.images import to_bytes

CAMERA = Intrinsics.from_angle(64, 64, 0.69)
TINY = pad.Config(
    field=FieldConfig(resolution=64, levels=2, steps=150, rays_per_step=4096),
    retrieval=RetrievalConfig(virtual_views=100),
    val_every=4,
    allow_bad_field=True,
    device="cpu",
    quiet=True,
)
STAINED = torch.tensor([0.31, 0.21, 0.51])  # on the second sphere
VIEWPOINTS = [(15, 10), (75, 30), (130, -15), (250, 20)]


def photo(azimuth: float, elevation: float, kind: str) -> np.ndarray:
    """What a camera sees of a good specimen, of one without its second sphere, or of one with a stain on it."""
    pose = camera(azimuth, elevation, radius=3.1)
    shown = render(pose, CAMERA, missing=(1,) if kind == "missing" else ())
    colour = shown.colour.clone()
    if kind == "stain":
        origins, directions = world_rays(pixel_centres(CAMERA), CAMERA, pose.float())
        near = (origins + shown.depth[..., None] * directions - STAINED).norm(dim=-1) < 0.16
        colour[near & (shown.opacity > 0.99)] = torch.tensor([0.05, 0.1, 0.95])
    return to_bytes(colour)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An object, trained, and folders of three specimens."""
    folder = tmp_path_factory.mktemp("parts")
    write_world(folder / "balls", CAMERA, queries=1)
    for kind in ("good", "missing", "stain"):
        for number, viewpoint in enumerate(VIEWPOINTS):
            write_picture(folder / f"photos/{kind}/{number}.png", photo(*viewpoint, kind))
    pad.train(folder / "balls", replace(TINY, ckpt_dir=str(folder / "ckpts")))
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> pad.Model:
    return pad.Model.load(place / "ckpts/balls", device="cpu")


@pytest.fixture(scope="module")
def parts(place: Path, model: pad.Model) -> dict[str, pad.PartDetection]:
    return {kind: model.detect_part(place / "photos" / kind) for kind in ("good", "missing", "stain")}


def test_a_part_gets_one_verdict(parts: dict[str, pad.PartDetection]) -> None:
    assert {kind: part.verdict for kind, part in parts.items()} == {
        "good": "good",
        "missing": "defective",
        "stain": "defective",
    }
    for kind, part in parts.items():
        assert part.name == kind and part.counted == tuple(each.name for each in part.photos) == ("0", "1", "2", "3")
        assert (part.anomaly_score > part.threshold) == (part.verdict == "defective") == (len(part.defects) > 0)
        assert 0 <= part.p_value <= 1 and part.seen_twice_share < part.seen_share <= 1
        assert part.seen_well_share < part.seen_share
    assert parts["missing"].p_value < parts["good"].p_value > parts["stain"].p_value


def test_defects_lie_where_they_are_and_are_told_apart(parts: dict[str, pad.PartDetection]) -> None:
    missing, stain = parts["missing"].defects[0], parts["stain"].defects[0]
    assert (missing.kind, stain.kind) == ("shape", "colour")
    assert float((torch.tensor(missing.centre) - CENTRES[1]).norm()) < 0.25
    assert float((torch.tensor(stain.centre) - STAINED).norm()) < 0.12 and 0.1 < stain.extent < 0.9
    for defect in (missing, stain):
        assert len(defect.confirmed_by) >= 2 and set(defect.confirmed_by) <= set(defect.seen_by)
        assert defect.p_value == pytest.approx(parts[{"shape": "missing", "colour": "stain"}[defect.kind]].p_value)
        assert float(torch.tensor(defect.normal).norm()) == pytest.approx(1.0, abs=1e-4)


def test_the_surface_score_is_that_of_the_part(model: pad.Model, parts: dict[str, pad.PartDetection]) -> None:
    part = parts["stain"]
    assert part.surface_score.shape == part.times_seen.shape == (len(model.good_parts.surface.points),)
    assert torch.equal(part.surface_score.isnan(), part.times_seen == 0)
    assert float(part.surface_score.nan_to_num(0.0).max()) == pytest.approx(part.anomaly_score)
    above = (part.surface_score > part.threshold).nonzero()[:, 0]
    assert {int(each) for defect in part.defects for each in defect.points} <= set(above.tolist())


def test_the_order_of_the_photos_changes_nothing(place: Path, model: pad.Model, parts: dict) -> None:
    paths = [place / f"photos/stain/{number}.png" for number in (2, 0, 3, 1)]
    again = model.detect_part(paths, name="stain")
    assert again.anomaly_score == pytest.approx(parts["stain"].anomaly_score, rel=1e-6)
    assert again.defects[0].centre == pytest.approx(parts["stain"].defects[0].centre, abs=1e-5)


def test_photos_whose_pose_is_not_found_do_not_count(model: pad.Model, parts: dict) -> None:
    other = np.full((64, 64, 3), 255, np.uint8)
    other[:9, 20:60] = (10, 200, 30)
    images = [photo(*viewpoint, "stain") for viewpoint in VIEWPOINTS[:3]]
    part = model.detect_part([*images, other], name="mixed")
    assert part.counted == ("photo 1", "photo 2", "photo 3") and len(part.photos) == 4
    alone = model.detect_part(images, name="mixed")
    assert part.anomaly_score == alone.anomaly_score and part.threshold == alone.threshold
    with pytest.raises(pad.InputError, match="pose of none of the 1 photos of mixed was found"):
        model.detect_part([other], name="mixed")
    with pytest.raises(pad.InputError, match="as many masks, found 2"):
        model.detect_part(images, masks=[None, None])


def test_a_copy_of_a_photo_does_not_count(
    place: Path, parts: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stain"
    shutil.copytree(place / "photos/stain", folder)
    shutil.copy(folder / "0.png", folder / "again.png")
    options = ["--obj", "balls", "--ckpt_dir", str(place / "ckpts"), "--output_dir", str(tmp_path / "out"), "--quiet"]
    assert detect.main([*options, "--part", str(folder)]) == 1
    assert "again.png: the same photo as another, it does not count" in capsys.readouterr().err
    entry = json.loads((tmp_path / "out/balls/parts/stain/part.json").read_text())
    assert entry["anomaly_score"] == parts["stain"].anomaly_score
    assert [photo["counted"] for photo in entry["photos"]] == [True] * 4 + [False]
    assert "the same photo again" in (tmp_path / "out/balls/parts/stain/part.html").read_text()


def test_one_photo_is_a_part_too(place: Path, model: pad.Model) -> None:
    part = model.detect_part([place / "photos/missing/0.png"])
    assert part.verdict == "defective" and part.defects[0].kind == "shape" and part.seen_twice_share == 0
    assert part.next_view is not None and part.next_view.gain > 0.2 and -90 <= part.next_view.elevation <= 90


def test_page_and_entry_say_what_was_found(place: Path, model: pad.Model, tmp_path: Path) -> None:
    part, entry = judge_part(model, find_part(place / "photos/stain"), None, tmp_path / "stain")
    written = json.loads((tmp_path / "stain/part.json").read_text())
    assert written == json.loads(json.dumps(entry)) and written["verdict"] == "defective"
    assert [photo["heat_map"] for photo in written["photos"]] == [f"heat/{number}.png" for number in range(4)]
    assert all((tmp_path / "stain" / photo["heat_map"]).is_file() for photo in written["photos"])
    page = (tmp_path / "stain/part.html").read_text()
    scene = json.loads(re.findall(r'type="application/json">(.*?)</script>', page, flags=re.DOTALL)[0])
    assert scene["count"] == len(model.good_parts.surface.points) and len(scene["defects"]) == len(part.defects)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page) and "http" not in page
    assert lines_of(part)[0].startswith("stain\tdefective\tp=") and lines_of(part)[1].startswith("colour\tat ")


@pytest.mark.parametrize(("kind", "code"), [("good", 0), ("missing", 1)])
def test_the_exit_code_is_that_of_the_part(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, code: int
) -> None:
    options = ["--obj", "balls", "--ckpt_dir", str(place / "ckpts"), "--output_dir", str(tmp_path), "--quiet"]
    assert detect.main([*options, "--part", str(place / "photos" / kind)]) == code
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.split("\t")[:2] == [kind, ["good", "defective"][code]]
    assert Path(last) == tmp_path / f"balls/parts/{kind}/part.html" and Path(last).is_file()


def test_part_and_photos_exclude_one_another(place: Path, tmp_path: Path) -> None:
    options = ["--obj", "balls", "--ckpt_dir", str(place / "ckpts"), "--output_dir", str(tmp_path)]
    for words in ([], ["photo.png", "--part", str(place / "photos/good")]):
        with pytest.raises(pad.InputError, match="not both"):
            detect.main([*options, *words])
    with pytest.raises(pad.InputError, match="--part must name a folder"):
        detect.main([*options, "--part", str(place / "photos/good/0.png")])


def test_what_good_views_show_is_stored(place: Path, model: pad.Model, tmp_path: Path) -> None:
    model.save(tmp_path / "copy")
    first, again = model.good_parts, GoodParts.load(tmp_path / "copy/parts.safetensors")
    assert torch.equal(first.surface.points, again.surface.points) and first.surface.spacing == again.surface.spacing
    assert torch.equal(first.values.nan_to_num(-1.0), again.values.nan_to_num(-1.0)) and len(again.values) == 12
    assert float((again.facing > 0).float().mean()) > 0.15


def test_groups_are_what_steps_of_the_reach_connect() -> None:
    generator = torch.Generator().manual_seed(0)
    points, chosen = torch.rand(80, 3, generator=generator), torch.rand(80, generator=generator) < 0.6
    left, expected = set(chosen.nonzero()[:, 0].tolist()), []
    while left:
        group, edge = set(), {left.pop()}
        while edge:
            group |= edge
            edge = {one for one in left for other in edge if float((points[one] - points[other]).norm()) <= 0.15}
            left -= edge
        expected.append(sorted(group))
    found = sorted(sorted(group.tolist()) for group in connected(points, chosen, 0.15))
    assert found == sorted(expected) and len(found) > 3
    assert connected(points, torch.zeros(80, dtype=torch.bool), 0.15) == []


def test_a_place_is_explained_only_where_every_photo_says_so() -> None:
    first, second = [frozenset({1, 2}), frozenset({3})], [frozenset({2}), frozenset({4})]
    assert explained([frozenset({2}), frozenset[int]()], first) and not explained(second, first)


def facing_views(rows: list[list[int]]) -> GoodParts:
    """Four cameras around z that see these points of five."""
    surface = Surface(torch.zeros(5, 3), torch.zeros(5, 3), torch.zeros(5, 3), 0.1)
    facing: Tensor = torch.zeros(len(rows), 5)
    for row, seen in enumerate(rows):
        facing[row, seen] = 0.9
    poses = torch.stack([camera(90 * turn, 20).float() for turn in range(len(rows))])
    return GoodParts(surface, torch.zeros(1, 5), poses, facing.half())


def test_the_next_view_shows_most_of_what_is_left() -> None:
    good, nothing = facing_views([[0, 1], [2], [3, 4], [0, 4]]), torch.zeros(5)
    view = find_next_view(good, torch.tensor([1, 1, 0, 0, 0]), nothing, 1.0)
    assert view is not None and view.gain == pytest.approx(0.4)
    assert abs(view.azimuth) == pytest.approx(180, abs=1e-3) and view.elevation == pytest.approx(20, abs=1e-3)
    assert find_next_view(good, torch.ones(5, dtype=torch.int64), nothing, 1.0) is None
    suspicious = torch.tensor([0.0, 0.0, 0.7, 0.0, 0.0])
    view = find_next_view(good, torch.ones(5, dtype=torch.int64), suspicious, 1.0)
    assert view is not None and view.azimuth == pytest.approx(90, abs=1e-3)
    assert find_next_view(good, torch.full((5,), 2), suspicious, 1.0) is None
    assert share(torch.tensor([True, False])) == 0.5 and share(torch.zeros(0, dtype=torch.bool)) == 0.0
