"""All settings of the program, and how they are read: command line over config files over defaults.

Settings of a method are declared in its room; here are those of a run, and the groups. Nothing heavy is imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import configargparse

from data.settings import AUTOMATIC_SIZE, BACKGROUNDS, RobustnessConfig
from inerf.settings import InerfConfig, RefineConfig
from nerf.settings import FieldConfig, NerfConfig
from pipeline.old_keys import OLD_KEYS, translate
from retrieval.settings import RetrievalConfig
from scoring.settings import ScoreConfig
from utils.config import Option, Parser, add_options, build, options_of, read_value, require, values_of, write_value
from utils.errors import EXIT_INTERRUPTED, InputError, exit_code_of, nearest

ALL_OBJECTS = "all"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Config:
    """One object's settings."""

    object_name: str = ""  # folder name of the object in data_dir; "all" runs every object of configs/LEGO-3D
    data_dir: str = "data/LEGO-3D"  # folder that holds the objects' folders
    ckpt_dir: str = "ckpts"  # folder that training writes to, one folder an object
    output_dir: str = "output"  # folder that testing writes to, one folder an object
    # longer side in pixels to which larger images are averaged down, smaller ones stay; 0: 400, or as many as it takes
    # to show the object 400 pixels large
    image_size: int = AUTOMATIC_SIZE
    # colour behind the object, on which transparent images are laid; one that the object does not have
    background: Literal["white", "black", "green", "blue", "magenta"] = "white"
    # masks of a test's queries: given beside them, where they need some, or found as by detect.py --masks auto
    query_masks: Literal["given", "auto"] = "given"
    val_every: int = 8  # every n-th view is held out of training, to measure the field and to calibrate the score
    # cameras of the training views, refined with the field: auto does where a coarse field shows that they are inexact
    refine_poses: Literal["auto", "always", "never"] = "auto"
    min_psnr: float = 22.0  # mean PSNR in dB of the held-out views below which the field counts as bad
    allow_bad_field: bool = False  # continue with a field that fails min_psnr
    seed: int = 0  # seed of every random choice
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute; auto takes a CUDA device if there is one
    overwrite: bool = False  # redo steps that are done already
    quiet: bool = False  # print results only, no progress
    weights_dir: str = ""  # folder in which pretrained weights are searched first
    # pretrained networks: the papers' (paper), EfficientNet-Lite0 in place of those that give features (lite0),
    # or the papers' with random weights (random); results say what stood in
    backbone: Literal["paper", "lite0", "random"] = "paper"
    # whose EfficientNet-B4 is used: that of the paper's code (efficientnet_pytorch), or torchvision's
    efficientnet_weights: Literal["paper", "torchvision"] = "paper"
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    nerf: NerfConfig = dataclasses.field(default_factory=NerfConfig)
    retrieval: RetrievalConfig = dataclasses.field(default_factory=RetrievalConfig)
    refine: RefineConfig = dataclasses.field(default_factory=RefineConfig)
    inerf: InerfConfig = dataclasses.field(default_factory=InerfConfig)
    score: ScoreConfig = dataclasses.field(default_factory=ScoreConfig)
    robustness: RobustnessConfig = dataclasses.field(default_factory=RobustnessConfig)

    def __post_init__(self) -> None:
        size = self.image_size
        require(size == AUTOMATIC_SIZE or 16 <= size <= 4096, "image_size", "between 16 and 4096 pixels, or 0", size)
        require(self.val_every >= 2, "val_every", "at least 2", self.val_every)
        require(
            self.object_name == Path(self.object_name).name and self.object_name not in (".", ".."),
            "object_name",
            "the name of a folder in data_dir, without slashes",
            self.object_name,
        )

    @property
    def object_dir(self) -> Path:
        """The folder of the object's images."""
        return Path(self.data_dir) / self.object_name

    @property
    def checkpoint_dir(self) -> Path:
        """The folder of the trained object."""
        return Path(self.ckpt_dir) / self.object_name

    @property
    def result_dir(self) -> Path:
        """The folder of the object's results."""
        return Path(self.output_dir) / self.object_name

    @property
    def background_rgb(self) -> tuple[float, float, float]:
        """The background's RGB in [0, 1]."""
        return BACKGROUNDS[self.background]

    def named(self, object_name: str) -> Config:
        """Return the same settings for another object."""
        return replace(self, object_name=object_name)


# Keys that say how one run goes and change no result: not written to config.txt, not part of what makes a step valid.
RUN_KEYS = frozenset({"overwrite", "quiet", "allow_bad_field", "weights_dir", "save_video"})

# Other names of a key: those of the paper's commands and files, and of earlier versions.
ALIASES = {
    "object_name": ("class_name", "obj", "model_name"),
    "data_dir": ("dataset_path",),
    "ckpt_dir": ("checkpoint_dir", "basedir"),
    "output_dir": ("output_path",),
    "val_every": ("held_out_every",),
    "field_density_lr": ("field_density_rate",),
    "field_colour_lr": ("field_colour_rate",),
    "field_lr_decay": ("field_final_rate",),
    "field_density_smoothing": ("field_smoothness",),
    "field_hull_min_view_share": ("field_vote",),
    "refine_renders_per_level": ("refine_renderings",),
    "refine_steps_per_render": ("refine_iterations",),
    "refine_beam_width": ("refine_keep",),
    "refine_prune_ratio": ("refine_give_up",),
    "refine_geman_mcclure_scale": ("refine_robust_scale",),
    "refine_max_cost": ("refine_found_cost",),
    "refine_min_silhouette_iou": ("refine_found_overlap",),
}


def known_keys() -> dict[str, Option]:
    """Return the setting of each key and alias."""
    keys = {option.key: option for option in options_of(Config)}
    for key, aliases in ALIASES.items():
        keys.update(dict.fromkeys(aliases, keys[key]))
    return keys


class ConfigFileParser(configargparse.DefaultConfigFileParser):
    """Reads ``key = value`` lines; keys of the paper's files are translated, unknown ones and wrong values refused."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []  # of the files that were read

    def parse(self, stream: Any) -> dict[str, str]:
        """Read an open config file as texts by today's keys.

        Raises:
            InputError: naming the file and the key.
        """
        try:
            lines = {key: str(value) for key, value in super().parse(stream).items()}
        except (configargparse.ConfigFileParserException, UnicodeDecodeError) as error:
            raise InputError(f"{stream.name} must hold lines 'key = value' ({error}); correct it.") from None
        settings, unused = translate(lines)
        if unused:
            self.warnings.append(f"{stream.name}: no longer needed, ignored: {', '.join(unused)}")
        keys, found = known_keys(), {}
        for name, text in settings.items():
            if name not in keys:
                hint = nearest(name, keys.keys() | OLD_KEYS) or "; configs/README.md lists all keys."
                raise InputError(f"Unknown key {name!r} in {stream.name}{hint}")
            try:
                read_value(text, keys[name])
            except InputError as error:
                raise InputError(f"In {stream.name}: {error}") from None
            found[keys[name].key] = text
        return found


class ConfigParser(Parser):
    """A parser with every setting as an option and ``--config FILE``, which may be repeated: later files win."""

    def __init__(self, description: str) -> None:
        super().__init__(description, config_file_parser_class=ConfigFileParser, config_file_open_func=_open)
        text = "config file; may be given several times, later ones win"
        self.add_argument("--config", action="append", default=[], metavar="FILE", help=text)
        add_options(self, Config, ALIASES)

    def _open_config_files(self, command_line_args: list[str]) -> list[tuple[Any, str]]:
        """Open the default files, then those of every ``--config``; configargparse itself takes one only."""
        given = []
        for word, following in zip(command_line_args, [*command_line_args[1:], ""]):
            if word == "--config" and following:  # a missing file name is left to argparse
                given.append(following)
            elif word.startswith("--config="):
                given.append(word.removeprefix("--config="))
        return [(_open(path), str(path)) for path in [*self._default_config_files, *given]]


def _open(path: str, mode: str = "r") -> Any:
    try:
        return Path(path).open(mode, encoding="utf-8")
    except OSError as error:
        raise InputError(f"The config file {path} cannot be read ({error}); check its path.") from None


def parse(
    parser: ConfigParser, argv: Sequence[str], saved: bool = False
) -> tuple[Config, argparse.Namespace, list[str]]:
    """Read settings from the command line over config files over defaults.

    Args:
        parser: with a script's own options added.
        argv: the command line without the program's name.
        saved: take what the object was trained with (``ckpts/<object>/config.txt``) as defaults.
    Returns:
        The settings, all options, and sentences of warning.
    """
    args, warnings = _parsed(parser, argv, [])
    if saved:
        named = {key: value for key, value in vars(args).items() if key in ("ckpt_dir", "object_name")}
        trained = build(Config, named).checkpoint_dir / "config.txt"
        if trained.is_file():
            args, warnings = _parsed(parser, argv, [str(trained)])
    return build(Config, vars(args)), args, warnings


def _parsed(parser: ConfigParser, argv: Sequence[str], defaults: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser._default_config_files = defaults
    parser._config_file_parser = ConfigFileParser()
    args = parser.parse_args(list(argv))
    return args, parser._config_file_parser.warnings


def read_config(path: Path) -> Config:
    """Read the settings that a config file holds.

    Raises:
        InputError: for a file that cannot be read, an unknown key or a wrong value.
    """
    return parse(ConfigParser(""), ["--config", str(path)])[0]


def config_text(config: Config) -> str:
    """Write the effective settings as a file that ``--config`` reads back."""
    lines = [
        f"{key} = {write_value(value)}"
        for key, value in values_of(config).items()
        if key not in RUN_KEYS and value != ""
    ]
    return "\n".join(lines) + "\n"


def object_config_file(object_name: str) -> Path:
    """Return the config file of one of the configured objects."""
    return ROOT / "configs" / "LEGO-3D" / f"{object_name}.txt"


def configured_objects() -> list[str]:
    """List the objects that have a file in ``configs/LEGO-3D``, sorted by name."""
    return sorted(path.stem for path in object_config_file("x").parent.glob("*.txt"))


def run_objects(
    parser: ConfigParser,
    argv: Sequence[str],
    run: Callable[[Config, argparse.Namespace], int],
    saved: bool = False,
) -> int:
    """Run the object that the command line names, or with ``all`` each one of ``configs/LEGO-3D``.

    Returns:
        The exit code of ``run``; with ``all`` the worst one, after every object has had its turn.
    """
    config, args, warnings = parse(parser, argv, saved)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if config.object_name != ALL_OBJECTS:
        require_object(config)
        return run(config, args)
    worst = 0
    for name in configured_objects():
        full = ["--config", str(object_config_file(name)), *argv, "--object_name", name]
        code = exit_code_of(lambda full=full: run(*parse(parser, full, saved)[:2]))  # type: ignore[misc]
        if code == EXIT_INTERRUPTED:
            return code
        worst = max(worst, code)
    return worst


def require_object(config: Config) -> None:
    """Raise an InputError that lists the objects there are unless the settings name one."""
    if not config.object_name:
        folder = Path(config.data_dir)
        there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
        found = f"{folder} holds {', '.join(there[:20])}" if there else f"there are none in {folder} (see --data_dir)"
        raise InputError(f"Name an object with --obj; {found}.")
