"""The registered methods by name; a method's module is imported when the method is requested."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from baselines.protocol import Method
from utils.config import build, options_of, values_of
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
    "OmniposeAD-paper-score": "bench.omniposead:OmniposeADPaperScore",
}


def find_method(name: str) -> type[Method]:
    """Return a method's class.

    Args:
        name: a registered method, case-insensitive, or ``module:Class`` or ``file.py:Class`` of a custom one.
    Raises:
        InputError: if there is no such method, or its package is not installed.
    """
    known = {each.lower(): place for each, place in METHODS.items()}
    place = name if ":" in name else known.get(name.lower())
    if place is not None:
        return _import(place)
    hint = nearest(name.lower(), known)
    raise InputError(f"There is no method {name!r}{hint or '.'} Known are {', '.join(METHODS)}, and file.py:Class.")


def _import(place: str) -> type[Method]:
    """Import the class at ``module:Class`` or ``file.py:Class``."""
    where, _, class_name = place.rpartition(":")
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise InputError(
            f"The method {class_name} needs the package {error.name}, which is not installed; run: "
            'pip install -e ".[benchmark]"'
        ) from None
    method = getattr(module, class_name, None)
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise InputError(
            f"{where} must define a class {class_name} that extends baselines.protocol.Method; it does not."
        )
    return method


def _load_file(path: Path) -> ModuleType:
    """Import a module from a user's file."""
    if not path.is_file():
        raise InputError(f"There is no file {path}; a custom method is named as file.py:Class.")
    name = f"custom_method_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def make_method(name: str, context: RunContext, fast: bool = False, overrides: dict[str, Any] | None = None) -> Method:
    """Create an untrained method.

    Args:
        name: as for ``find_method``.
        context: device, seed, weights, checkpoint folder and progress bars.
        fast: use its fast preset instead of its paper's settings.
        overrides: values of some of its settings, which take precedence over both.
    Raises:
        InputError: if there is no such method or setting.
    """
    method = find_method(name)
    known = [option.key for option in options_of(method.config_type)]
    for key in overrides or {}:
        if key not in known:
            hint = nearest(key, known) or "."
            raise InputError(f"{method.name} has no setting {key!r}{hint} It has {', '.join(known)}.")
    values = {**values_of(method.preset(fast)), **(overrides or {})}
    return method(build(method.config_type, values), context)
