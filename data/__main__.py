"""The data room's commands: ``python -m data COMMAND ...``."""

from __future__ import annotations

import sys
from pkgutil import resolve_name

from utils.errors import InputError, exit_code_of, nearest

# Command: the function of argv that runs it, whose module is imported then, and what it does.
COMMANDS = {
    "doctor": ("data.doctor.examine:main", "check that an object can be trained on: files, cameras, poses that fit"),
    "import-transforms": (
        "data.import_commands:transforms_command",
        "import a nerfstudio, instant-ngp or Blender transforms.json",
    ),
    "import-colmap": ("data.import_commands:colmap_command", "import a COLMAP model with its images"),
    "import-poses": ("data.import_commands:poses_command", "import a table of camera poses, as a robot writes it"),
    "capture": ("data.import_commands:capture_command", "find the poses of photos or a video with COLMAP"),
    "download": ("data.download:main", "fetch MAD-Sim, MAD-Real or the paper's weights"),
    "verify": ("data.verify:main", "check an unpacked MAD data set against its known structure"),
    "generate": ("data.generate:main", "make toys with defects in MAD's layout"),
    "attributes": ("data.attributes:main", "measure shape complexity and colour contrast of objects"),
}


def main(argv: list[str]) -> int:
    """Run the command that ``argv`` begins with; return its exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {meaning}" for name, (_, meaning) in COMMANDS.items()]
        print("\n".join(["usage: python -m data COMMAND ... (COMMAND --help lists its options)", "", *lines]))
        return 0
    if argv[0] not in COMMANDS:
        hint = nearest(argv[0], COMMANDS) or f"; there are {', '.join(COMMANDS)}."
        raise InputError(f"Unknown command {argv[0]!r}{hint}")
    return resolve_name(COMMANDS[argv[0]][0])(argv[1:])


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
