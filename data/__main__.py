"""The data room's commands: ``python -m data COMMAND ...``."""

from __future__ import annotations

import sys
from importlib import import_module

from utils.errors import InputError, exit_code_of, nearest

# Command: the module whose ``main(arguments)`` runs it, and what it does.
COMMANDS = {
    "doctor": (
        "data.doctor.examine",
        "check that an object's folder can be trained on: files, cameras, poses that fit",
    ),
    "import-transforms": ("data.import_transforms", "take over a nerfstudio, instant-ngp or Blender transforms.json"),
    "import-colmap": ("data.import_colmap", "take over a COLMAP model with its pictures"),
    "import-poses": ("data.import_poses", "take over a table of camera poses, as a robot writes it"),
    "capture": ("data.capture", "find the poses of photos or a video with COLMAP"),
    "download": ("data.download", "fetch MAD-Sim, MAD-Real or the paper's weights"),
    "verify": ("data.verify", "check an unpacked MAD data set against its known structure"),
    "generate": ("data.generate", "make toys with defects in MAD's layout"),
    "attributes": ("data.attributes", "shape complexity and colour contrast of objects"),
}


def main(arguments: list[str]) -> int:
    """Run the command that ``arguments`` begin with; returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {meaning}" for name, (_, meaning) in COMMANDS.items()]
        print("\n".join(["usage: python -m data COMMAND ... (COMMAND --help tells more)", "", *lines]))
        return 0
    if arguments[0] not in COMMANDS:
        hint = nearest(arguments[0], COMMANDS) or f"; there are {', '.join(COMMANDS)}."
        raise InputError(f"Unknown command {arguments[0]!r}{hint}")
    return import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
