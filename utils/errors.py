"""The error a user can mend, and how the scripts end: one clear sentence, and an exit code."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from importlib.util import find_spec

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # that of programs which the signal SIGPIPE ends


class InputError(ValueError):
    """What was expected, what was found, in which file or key, and what to do next: one sentence, no traceback."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the ``known`` name nearest to ``name``, or an empty string.

    >>> nearest("imagesize", ["image_size", "seed"])
    '; did you mean image_size?'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def exit_code_of(main: Callable[[], int]) -> int:
    """Run a script's ``main`` and turn every way it can end into an exit code.

    Args:
        main: returns the exit code of a good end.
    Returns:
        ``main``'s code; 2 after an error (a sentence for what the user can mend, a traceback for a fault of the
        program); 130 after Ctrl-C; 141 where the reader of the output stopped before the end.
    """
    code = EXIT_BROKEN_PIPE
    try:
        code = main()
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of the output, such as head, has stopped: end quietly
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    except KeyboardInterrupt:
        print("\nInterrupted; what was finished is kept, run the same command again to go on.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if error.name and find_spec(error.name.partition(".")[0]) is None:
            print(
                f"error: The package {error.name} is not installed; run: pip install -e '.[data,benchmark]'",
                file=sys.stderr,
            )
        else:
            traceback.print_exc()
    except Exception:  # a fault of the program: show where, and never end with a code that means something else
        traceback.print_exc()
    return EXIT_ERROR


def _sentence(error: OSError) -> str:
    """What the system says, with the file it says it of."""
    if error.strerror is None:
        return str(error)
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror}{where}; check that the path exists, may be read and written, and the disk is not full."
