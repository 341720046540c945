"""Methods of one kind by name; the module of a method is imported when the method is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from utils.errors import InputError, nearest


@dataclass(frozen=True)
class Registry:
    """What the methods of one kind are called, and where their classes are.

    Each class has the attributes ``name``, ``weights`` (names of the pretrained networks it needs) and ``settings``
    (names of the groups of settings that its constructor takes, and that its results depend on).
    """

    kind: str  # the setting that chooses a method, as in "field"
    places: Mapping[str, str]  # name → "module:Class"

    @property
    def names(self) -> tuple[str, ...]:
        """The methods' names, the default first."""
        return tuple(self.places)

    def find(self, name: str) -> type[Any]:
        """Import the class of a method.

        Raises:
            InputError: where no method has this name.
        """
        if name not in self.places:
            hint = nearest(name, self.places) or "."
            raise InputError(f"{self.kind} must be one of {', '.join(self.places)}, found {name!r}{hint}")
        module, _, class_name = self.places[name].partition(":")
        return getattr(importlib.import_module(module), class_name)

    def make(self, config: Any) -> Any:
        """Construct the method that ``config.<kind>.method`` names, with its groups of settings from ``config``."""
        method = self.find(getattr(config, self.kind).method)
        return method(*(getattr(config, group) for group in method.settings))
