"""The program `shuffle`: how it begins, and how errors end.

Importing is most of what a command takes, so it comes late: the commands and their options are in `program.py`, and a
process that a command will need is started first of all (`ahead.py`).

Exit codes: 0 complete, 1 the job failed, 2 invalid input, 130 interrupted. A `JobError` is for the person at the
terminal, so it is shown as its reason and message, without a traceback; anything else that escapes is a defect of ours.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import NoReturn

from shuffle_local import ahead
from shuffle_local.cli import streams
from shuffle_local.cli.exits import FAILED, INTERRUPTED, INVALID
from shuffle_local.cli.optional import with_values
from shuffle_protocol.errors import JobError


def main() -> NoReturn:
    """Entry point of the program."""
    streams.prepare()
    gc.disable()  # until all is imported: what imports make stays for good, and would be looked at again and again
    try:
        ahead.begin(sys.argv[1:])
        code = execute(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        ahead.end()
    streams.leave(code)


def execute(arguments: Sequence[str]) -> int:
    """Carry a command line out; returns the exit code."""
    try:
        from shuffle_local.cli.program import program_of

        program = program_of(arguments)
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        try:
            program(args=with_values(arguments), prog_name="shuffle")
        finally:
            streams.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except JobError as error:
        from shuffle_local.cli import say

        say.error(error.reason, error.message)
        return INVALID if error.refusal else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        streams.give_up()  # the program that read the output has ended (`shuffle crd | head`)
        return FAILED
    except OSError as error:
        if not streams.is_of_output(error):
            return _defect()
        from shuffle_local.cli import say

        streams.give_up()
        say.line(f"Standard output cannot be written: {error.strerror}")
        return FAILED
    except Exception:
        return _defect()
    return 0


def _defect() -> int:
    import traceback

    traceback.print_exc()
    print("\nInternal: this is a defect of shuffle; please report it with the lines above.", file=sys.stderr)  # noqa: T201
    return FAILED
