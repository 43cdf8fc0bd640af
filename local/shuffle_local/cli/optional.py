"""Options whose value may be left out, which the library of the command line does not know."""

from __future__ import annotations

from collections.abc import Sequence

WITHOUT = {"--dashboard": "0"}
"""Option -> its value where there is none: any free port."""


def with_values(arguments: Sequence[str]) -> list[str]:
    """`--dashboard FILE` becomes `--dashboard=0 FILE`, and `--dashboard 8787` stays what it is: a port is a number."""
    found: list[str] = []
    for n, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[n:]]
        following = arguments[n + 1] if n + 1 < len(arguments) else ""
        without = argument in WITHOUT and not following.isdecimal()
        found.append(f"{argument}={WITHOUT[argument]}" if without else argument)
    return found
