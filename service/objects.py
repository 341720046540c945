"""The trained objects that are served, each loaded once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.config import read_config
from pipeline.model import Model, check_there, load_model
from service.refusals import RefusalError
from service.settings import ServiceConfig
from utils.errors import InputError, nearest
from utils.text import natural_key

LOG = logging.getLogger("service")
LOADING_SECONDS = 5  # after which a request is worth another try


@dataclass(frozen=True)
class Served:
    """One object, and what is known of it."""

    name: str
    state: Literal["loading", "ready", "failed"] = "loading"
    model: Model | None = None
    error: str = ""


class Objects:
    """All objects that are served."""

    def __init__(self, config: ServiceConfig, names: Sequence[str] = ()) -> None:
        """Name them; nothing is loaded yet.

        Args:
            config: says where they are.
            names: of objects; none: all that are trained.
        Raises:
            InputError: where one is not there.
        """
        self.config = config
        folder, there = Path(config.ckpt_dir), trained_objects(Path(config.ckpt_dir))
        for name in names:
            if name not in there:
                known = f"{folder} holds {', '.join(there)}" if there else f"there are none in {folder}"
                raise InputError(f"There is no trained object {name!r}; {known} (see --ckpt_dir).")
        if not there:
            raise InputError(
                f"There is no trained object in {folder}; run anomaly_nerf_lego.py first (see --ckpt_dir)."
            )
        self._lock = threading.Lock()
        self._served = {name: Served(name) for name in dict.fromkeys(names or there)}

    def load(self, stopping: Callable[[], bool]) -> None:
        """Load all objects, one after the other; one that cannot be loaded does not stop the others."""
        for name in list(self._served):
            if stopping():
                return
            self.reload(name)

    def reload(self, name: str) -> None:
        """Load one object as it is on the disk."""
        try:
            served = Served(name, "ready", self._read(name))
            LOG.info("loaded %s", name)
        except (InputError, OSError) as error:
            served = Served(name, "failed", error=str(error))
            LOG.error("%s cannot be loaded: %s", name, error)
        with self._lock:
            self._served[name] = served

    def _read(self, name: str) -> Model:
        folder = Path(self.config.ckpt_dir)
        check_there(folder / name)
        settings = read_config(folder / name / "config.txt").named(name)
        settings = replace(settings, ckpt_dir=str(folder), weights_dir=self.config.weights_dir, quiet=True)
        return load_model(replace(settings, device=self.config.device))

    def all(self) -> list[Served]:
        """Return all objects."""
        with self._lock:
            return list(self._served.values())

    @property
    def ready(self) -> bool:
        """Whether all objects have had their turn and one can be asked."""
        states = {served.state for served in self.all()}
        return "loading" not in states and "ready" in states

    def named(self, name: str) -> str:
        """Return the object that a request means: the one it names, or the only one.

        Raises:
            RefusalError: 422 where it names none of several, 404 where there is none of the name.
        """
        names = [served.name for served in self.all()]
        if not name:
            if len(names) == 1:
                return names[0]
            raise RefusalError(422, f"Name an object with the field object; served are {', '.join(names)}.")
        if name not in names:
            hint = nearest(name, names) or f"; served are {', '.join(names)}."
            raise RefusalError(404, f"There is no object {name[:100]!r}{hint}")
        return name

    def check_ready(self, name: str) -> None:
        """Raise a RefusalError (503) unless the object can be asked now."""
        served = self.get(name)
        if served is None or served.state == "failed":
            raise RefusalError(
                503, f"The object {name} could not be loaded; {served.error if served else 'not served.'}"
            )
        if served.state == "loading":
            raise RefusalError(503, f"The object {name} is being loaded; try again.", LOADING_SECONDS)

    def get(self, name: str) -> Served | None:
        """Return an object; None where there is none of the name."""
        with self._lock:
            return self._served.get(name)


def trained_objects(folder: Path) -> list[str]:
    """List the names of the trained objects in a folder, in natural order."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path.name for path in found if (path / "config.txt").is_file()), key=natural_key)
