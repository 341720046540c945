"""Errors that the user can correct, and the exit codes of the scripts."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec

EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # that of programs which the signal SIGPIPE ends


class InputError(ValueError):
    """An error of the user's input: one sentence says what was expected and found, where, and what to do next."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the ``known`` name nearest to ``name``, or an empty string.

    >>> nearest("imagesize", ["image_size", "seed"])
    '; did you mean image_size?'
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def listed_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first few of some names, and how many more there are.

    >>> listed_names(["1.png", "2.png"]), listed_names(list("abcdefg"))
    ('1.png, 2.png', 'a, b, c, d, e and 2 more')
    """
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def exit_code_of(main: Callable[[], int]) -> int:
    """Run a script's ``main`` and return its exit code, whatever happens.

    Args:
        main: returns the exit code of a successful run.

    Returns:
        ``main``'s code; 2 after an error (a sentence where the user can correct it, a traceback where the program is
        at fault); 130 after Ctrl-C; 141 where the reader of the output stopped before the end.
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
        print("\nInterrupted; finished work is kept, run the same command again to resume.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if error.name and find_spec(error.name.partition(".")[0]) is None:
            print(
                f"error: The package {error.name} is not installed; run: pip install -e '.[data,benchmark,serve]'",
                file=sys.stderr,
            )
        else:
            traceback.print_exc()
    except Exception:  # a fault of the program
        traceback.print_exc()
    return EXIT_ERROR


def _sentence(error: OSError) -> str:
    """Return the system's message with the file name."""
    if error.strerror is None:
        return str(error)
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror}{where}; check that the path exists, may be read and written, and the disk is not full."
