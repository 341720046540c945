"""The commands and the Python of the pages do what the pages say: they are run, one after the other, as they stand.

They run in a copy of the program's folder that has a little world of spheres in place of MAD-Sim, and defaults that
train it in seconds.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.docs.pages import PAGES, blocks, read_page
from tests.test_soak import DEMO, OWN_OBJECT
from tests.workplace import Workplace
from tests.world import write_world
from utils.images import write_map

pytestmark = pytest.mark.slow

SHELL = re.compile(r"^(?:(?:\.venv/bin/)?python3?|make|pip|docker|pytest|ruff|mypy|pre-commit|curl|git) \S")
RECORDS = {"docs/RESULTS.md", "CHANGELOG.md"}  # they name the commands of their day
ORDER = ["README.md", "docs/own_object.md", "docs/configuration.md", "docs/methods.md", "data/synthetic/README.md"]
SMALL = {  # defaults of the copy, by which an object is trained in seconds
    "nerf/settings.py": {"resolution: int = 192": "64", "levels: int = 4": "2", "steps: int = 1600": "150"},
    "retrieval/settings.py": {"virtual_views: int = 400": "100"},
}
CODES = {  # exit codes other than 0 that a command may have, and why
    "python detect.py --obj pump --part new_photos/specimen_17": {1},  # the specimen is defective
    "python -m data verify data/LEGO-3D": {1},  # the little world differs from MAD-Sim
    "python detect.py --obj 01Gorilla photo1.png folder/": {1},  # some of the photos are defective
}

PHOTOS = "the photos are another project's"
NETWORKS = "needs pretrained networks, which are downloaded"
SETS_UP = "sets up the environment that the tests run in"
CHECKS = "is a step of the checks, of which this test is one"
SOAK = "tests/test_soak.py runs it"
ELSEWHERE = {
    **dict.fromkeys([*DEMO, *OWN_OBJECT], SOAK),
    "python3 -m venv .venv": SETS_UP,
    ".venv/bin/python -m pip install -r requirements.txt": SETS_UP,
    'pip install -e ".[benchmark]"': SETS_UP,
    'pip install -e ".[serve]"': SETS_UP,
    **{f"make {target}": CHECKS for target in ("test", "quick", "soak", "lint", "coverage", "fuzz", "docs")},
    "make pages": "writes pages that tests compare with what it would write",
    "python -m data download mad-sim": "downloads gigabytes from another host",
    "python -m data masks data/mine/pump": NETWORKS,
    "python anomaly_nerf_lego.py --data_dir data/mine --obj pump --add new_photos --masks auto": NETWORKS,
    "python detect.py --obj pump --part new_photos/specimen_17 --masks auto": NETWORKS,
    "python -m data generate --toy windmill --specimens 8 --out data/samples/windmill": "renders for some minutes",
    "python -m bench.measure.parts data/samples/windmill --work /tmp/parts": "judges hundreds of photos",
    "python -m data capture photos/alexander --masks auto --out data/mine/alexander": PHOTOS,
    "python anomaly_nerf_lego.py --data_dir data/mine --obj alexander": PHOTOS,
    "python detect.py --data_dir data/mine --obj alexander --masks auto kept_back": PHOTOS,
    "python anomaly_nerf_lego.py --config configs/LEGO-3D/01Gorilla.txt --config configs/paper.txt": "needs a GPU",
    "python -m data generate --toy locomotive --out data/samples/locomotive": "renders 306 images, some minutes",
    "python -m data generate --preset mad-20 --out data/toys": "renders for more than an hour",
    "python benchmark.py --objects all --methods all --seeds 3": NETWORKS,
    "python benchmark.py --methods PatchCore UniAD --set UniAD.epochs=200 --figure": NETWORKS,
    "python benchmark.py --objects all --methods all --engine ray --ray_address HOST:PORT": "needs a cluster of Ray",
    "python benchmark.py --ablation --objects 01Gorilla": NETWORKS,
    "python -m bench.measure.doctor_table data/LEGO-3D/01Gorilla": "spoils the object in every way, some minutes",
    "python -m bench.measure.scores data/LEGO-3D/01Gorilla --work work": "tests it with each score, some minutes",
    "python -m bench.measure.cost_shape": "renders and trains for some minutes; its options make it smaller",
}
COMMANDS = list(
    dict.fromkeys(
        line
        for page in sorted(PAGES, key=lambda page: [*ORDER, page.as_posix()].index(page.as_posix()))
        if page.as_posix() not in RECORDS
        for line in blocks(read_page(page))
        if SHELL.match(line)
    )
)
# those of test_running_service.py
SERVED = [command for command in COMMANDS if command.startswith(("python serve.py", "curl "))]
RUN = [command for command in COMMANDS if command not in ELSEWHERE and command not in SERVED]
EXAMPLES = [
    (page, code)
    for page in PAGES
    for code in re.findall(r"```python\n(.*?)```", read_page(page), flags=re.DOTALL)
    if "import omniposead" in code
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """The copy, and what the commands take for granted."""
    with Workplace.of(tmp_path_factory.mktemp("pages") / "copy") as place:
        make_small(place.folder)
        world = write_world(place.folder / "data/LEGO-3D/01Gorilla", queries=2)
        for copy in ("data/LEGO-3D/02Unicorn", "data/mine/pump"):
            shutil.copytree(world, place.folder / copy)
        for config in (place.folder / "configs/LEGO-3D").glob("*.txt"):
            if config.stem not in ("01Gorilla", "02Unicorn"):
                config.unlink()
        shutil.copy(world / "test/good/0.png", place.folder / "photo1.png")
        shutil.copy(world / "test/Stains/0.png", place.folder / "photo.jpg")
        for kind, folder in (
            ("Stains", "folder"),
            ("good", "new_photos"),
            ("Stains", "new_photos/specimen_17"),
            ("good", "checked_lot"),
        ):
            shutil.copytree(world / "test" / kind, place.folder / folder)
        place.run("python anomaly_nerf_lego.py --data_dir data/mine --obj pump --quiet")
        write_maps(place.folder)
        yield place


def make_small(folder: Path) -> None:
    """Change defaults of the copy."""
    for name, changes in SMALL.items():
        text = (folder / name).read_text(encoding="utf-8")
        for declared, value in changes.items():
            assert text.count(f"    {declared}") == 1, f"{name} does not declare {declared}"
            text = text.replace(f"    {declared}", f"    {declared.rpartition(' ')[0]} {value}")
        (folder / name).write_text(text, encoding="utf-8")


def write_maps(folder: Path) -> None:
    """Write the maps of another program for all queries."""
    noise = torch.Generator().manual_seed(0)
    for name in ("01Gorilla", "02Unicorn"):
        for query in (folder / "data/LEGO-3D" / name / "test").rglob("*.png"):
            place = query.relative_to(folder / "data/LEGO-3D").with_suffix(".tiff")
            write_map(folder / "their_maps" / place, torch.rand(96, 96, generator=noise))


def test_what_runs_elsewhere_is_still_shown() -> None:
    assert set(ELSEWHERE) <= set(COMMANDS), "remove what no page shows"
    assert set(CODES) <= set(RUN) and len(RUN) > 12


@pytest.mark.parametrize("command", RUN)
def test_a_shown_command_runs(command: str, place: Workplace) -> None:
    place.run(command, CODES.get(command, {0}))


def test_the_commands_wrote_what_the_pages_name(place: Workplace) -> None:
    output = place.folder / "output/01Gorilla"
    for name in re.findall(r"`output/<object>/(\w+\.\w+)`", read_page(Path("docs/configuration.md"))):
        assert (output / name).is_file(), name
    assert (output / "detect/detections.jsonl").is_file()
    assert (place.folder / "output/benchmark/index.html").is_file()
    assert "Theirs" in (place.folder / "output/benchmark/table.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "code"), EXAMPLES, ids=lambda value: str(value)[:20])
def test_python_of_a_page_runs(page: Path, code: str, place: Workplace) -> None:
    said = place.run_python(code)
    assert "good" in said or "defective" in said


def test_there_are_examples() -> None:
    assert {page.as_posix() for page, _ in EXAMPLES} >= {"README.md", "docs/api.md"}
