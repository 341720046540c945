"""The registry of weights, where files are looked for, how they are fetched (from this machine), what may go wrong."""

from __future__ import annotations

import hashlib
import re
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
from utils.config import Config
from utils.download import download
from utils.errors import InputError
from utils.progress import Progress
from utils.weights import FILES, RANDOM, WeightFile, Weights, fill, fingerprint, obtain, search_folders, weights_of

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUIET = Progress(quiet=True)


def test_every_file_says_what_it_is_for_and_where_it_comes_from() -> None:
    names = [one for file in FILES.values() for one in (file.file_name, file.also_named) if one]
    assert len(set(names)) == len(names)
    for name, file in FILES.items():
        assert file.name == name
        assert file.licence
        assert file.purpose
        assert file.by_hand
        assert re.fullmatch(r"([0-9a-f]{8,64})?", file.sha256)
        assert all(re.fullmatch(r"https://[\w./~-]+/" + re.escape(file.file_name), source) for source in file.sources)
        digits = re.search(r"-([0-9a-f]{8})\.pth$", file.file_name)
        assert digits is None or file.sha256.startswith(digits[1])


def test_settings_reach_the_weights() -> None:
    config = Config(weights_dir="w", random_weights=True, quiet=True, efficientnet_weights="torchvision")
    assert weights_of(config) == Weights("w", True, True, "torchvision")


@dataclass
class Site:
    """A server on this machine; ``pages`` are what it has, ``cut`` breaks answers off after that many bytes."""

    address: str
    pages: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True  # whether it can send the rest of a file
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site: Site, *arguments: object) -> None:
        self.site = site
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.site.asked.append((self.path, wanted))
        content = self.site.pages.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.site.ranges else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.site.cut])

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


def test_a_download_is_whole_and_leaves_nothing_else(site: Site, tmp_path: Path) -> None:
    site.pages["/a.pth"] = CONTENT
    path = tmp_path / "new" / "a.pth"
    assert download([site.address + "/a.pth"], path, DIGEST[:8], len(CONTENT), QUIET) == []
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_resumed_and_no_part_is_taken_for_the_whole(
    site: Site, tmp_path: Path, ranges: bool
) -> None:
    site.pages["/a.pth"], site.cut = CONTENT, 4000
    path = tmp_path / "a.pth"
    (failure,) = download([site.address + "/a.pth"], path, DIGEST, None, QUIET)
    assert f"broke off after 4000 of {len(CONTENT)} bytes" in failure
    assert not path.exists()
    site.cut, site.ranges = None, ranges
    assert download([site.address + "/a.pth"], path, DIGEST, None, QUIET) == []
    assert site.asked[-1][1] == "bytes=4000-"
    assert path.read_bytes() == CONTENT


def test_the_second_source_goes_on_where_the_first_broke_off(site: Site, tmp_path: Path) -> None:
    site.pages["/b.pth"] = CONTENT
    path = tmp_path / "a.pth"
    path.with_name("a.pth.part").write_bytes(CONTENT[:100])
    assert download([site.address + "/none", site.address + "/b.pth"], path, DIGEST, None, QUIET) == []
    assert site.asked == [("/none", "bytes=100-"), ("/b.pth", "bytes=100-")]
    assert path.read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_only_checked(site: Site, tmp_path: Path) -> None:
    site.pages["/a.pth"] = CONTENT
    (tmp_path / "a.pth.part").write_bytes(CONTENT)
    assert download([site.address + "/a.pth"], tmp_path / "a.pth", DIGEST, None, QUIET) == []


def test_wrong_files_and_other_schemes_are_refused(site: Site, tmp_path: Path) -> None:
    site.pages["/a.pth"] = CONTENT[::-1]
    local = tmp_path / "local.pth"
    local.write_bytes(CONTENT)
    sources = [site.address + "/a.pth", site.address + "/none", local.as_uri()]
    failures = download(sources, tmp_path / "a.pth", DIGEST, None, QUIET)
    assert [re.sub(r"^\S+: ", "", failure)[:25] for failure in failures] == [
        f"sha256 {hashlib.sha256(CONTENT[::-1]).hexdigest()}"[:25],
        "HTTP 404 Not Found",
        "only http and https addre",
    ]
    failures = download([site.address + "/a.pth"], tmp_path / "a.pth", "", 5, QUIET)
    assert f"{len(CONTENT)} bytes instead of 5" in failures[0]
    assert list(tmp_path.iterdir()) == [local]


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Weights:
    """Weights on a machine whose caches are empty folders, with one registered file."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layer = WeightFile("layer", "layer-1.pth", (), "", None, "none", "trials", "make it", also_named="old.pth")
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


def test_what_cannot_be_had_is_told_in_one_sentence(
    lonely: Weights, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"layer-1.pth .* are not on this machine: make it; put it into ") as told:
        obtain("layer", lonely)
    assert all(text in str(told.value) for text in (str(tmp_path / "own"), "--weights_dir", "--random_weights"))
    monkeypatch.setitem(weights.FILES, "layer", replace(FILES["layer"], sources=(f"{site.address}/none",)))
    with pytest.raises(InputError, match=r"could not be fetched \(http://127.*/none: HTTP 404 Not Found\)"):
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
    chosen = replace(lonely, random=True)
    torch.manual_seed(0)
    first = fill(nn.Linear(3, 2), "layer", chosen)
    torch.manual_seed(1)
    again = fill(nn.Linear(3, 2), "layer", chosen)
    other = fill(nn.Linear(3, 2), "resnet50", chosen)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert fingerprint("layer", chosen) == RANDOM
