"""The methods by name; a method's file is imported when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from baselines.protocol import Method
from utils.errors import InputError, nearest
from utils.run_context import RunContext

METHODS = {
    "PatchCore": "baselines.patchcore:PatchCore",
    "STFPM": "baselines.stfpm:STFPM",
    "FastFlow": "baselines.fastflow:FastFlow",
    "CFlow": "baselines.cflow:CFlow",
    "CFA": "baselines.cfa:CFA",
    "CutPaste": "baselines.cutpaste:CutPaste",
    "DRAEM": "baselines.draem:DRAEM",
    "FAVAE": "baselines.favae:FAVAE",
    "OCR-GAN": "baselines.ocr_gan:OCRGAN",
    "UniAD": "baselines.uniad:UniAD",
    "OmniposeAD": "bench.omniposead:OmniposeAD",
    "OmniposeAD-paper": "bench.omniposead:OmniposeADPaper",
}


def find_method(name: str) -> tuple[str, type[Method]]:
    """A method's name as tables show it, and its class.

    Args:
        name: of a registered method, in any case; or ``module:Class`` or ``file.py:Class`` of one's own.
    Raises:
        InputError: where there is no such method, or its package is not installed.
    """
    known = {each.lower(): each for each in METHODS}
    if name.lower() in known:
        shown = known[name.lower()]
        return shown, _import(METHODS[shown], shown)
    if ":" in name:
        return name.rpartition(":")[2], _import(name, name)
    hint = nearest(name.lower(), known)
    raise InputError(f"There is no method {name!r}{hint or '.'} Known are {', '.join(METHODS)}, and file.py:Class.")


def _import(place: str, name: str) -> type[Method]:
    """The class at ``module:Class`` or ``file.py:Class``."""
    where, _, class_name = place.rpartition(":")
    try:
        module = _from_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise InputError(
            f"The method {name} needs the package {error.name}, which is not installed; run: "
            'pip install -e ".[benchmark]"'
        ) from None
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(
            f"{where} must define a class {class_name} that extends baselines.protocol.Method; it does not."
        )
    return found


def _from_file(path: Path) -> Any:
    """A module from a file of the user's."""
    if not path.is_file():
        raise InputError(f"There is no file {path}; a method of one's own is named as file.py:Class.")
    name = f"own_method_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def make_method(name: str, context: RunContext, fast: bool = False, overrides: dict[str, Any] | None = None) -> Method:
    """A method ready to be fitted.

    Args:
        fast: take its fast preset in place of its paper's settings.
        overrides: values of some of its settings, over both.
    Raises:
        InputError: where there is no such method or setting.
    """
    shown, kind = find_method(name)
    known = {field.name for field in fields(kind.Config)}
    for key in overrides or {}:
        if key not in known:
            raise InputError(
                f"{shown} has no setting {key!r}{nearest(key, known) or '.'} It has {', '.join(sorted(known))}."
            )
    preset = kind.FAST if fast and kind.FAST is not None else kind.Config()
    return kind(replace(preset, **(overrides or {})), context)
