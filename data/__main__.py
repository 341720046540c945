"""The data room's commands: ``python -m data COMMAND ...``."""

from __future__ import annotations

import sys

from data import commands
from utils.errors import InputError, exit_code_of, nearest
from utils.version import __version__

# Command: the function of argv that runs it, and what it does.
COMMANDS = {
    "doctor": (commands.doctor_command, "check that an object can be trained on: files, cameras, poses that fit"),
    "import-transforms": (commands.transforms_command, "import a nerfstudio, instant-ngp or Blender transforms.json"),
    "import-colmap": (commands.colmap_command, "import a COLMAP model with its images"),
    "import-poses": (commands.poses_command, "import a table of camera poses, as a robot writes it"),
    "capture": (commands.capture_command, "find the poses of photos or a video with COLMAP"),
    "masks": (commands.masks_command, "make foreground masks for the photos of an object's folder"),
    "download": (commands.download_command, "fetch MAD-Sim, MAD-Real or the paper's weights"),
    "verify": (commands.verify_command, "check an unpacked MAD data set against its known structure"),
    "generate": (commands.generate_command, "make toys with defects in MAD's layout"),
    "attributes": (commands.attributes_command, "measure shape complexity and colour contrast of objects"),
}


def main(argv: list[str]) -> int:
    """Run the command that ``argv`` begins with; return its exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {meaning}" for name, (_, meaning) in COMMANDS.items()]
        print("\n".join(["usage: python -m data COMMAND ... (COMMAND --help lists its options)", "", *lines]))
        return 0
    if argv[0] == "--version":
        print(f"python -m data {__version__}")
        return 0
    if argv[0] not in COMMANDS:
        hint = nearest(argv[0], COMMANDS) or f"; there are {', '.join(COMMANDS)}."
        raise InputError(f"Unknown command {argv[0]!r}{hint}")
    run, _ = COMMANDS[argv[0]]
    return run(argv[1:])


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
