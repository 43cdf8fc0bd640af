"""JavaScript modules as one script, so that a page takes one request and a report is one file.

There is no build step: this is done when the page is first asked for, and does no more than put the modules one after
the other, each in a function of its own. They keep to what that needs: imports `import { a, b as c } from "./file.js"`
at the top, exports in front of a `class`, `function` or `const`, and no circles.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

IMPORT = re.compile(r"^import\s*\{([^}]*)\}\s*from\s*\"([^\"]+)\";[ \t]*$", re.MULTILINE)
EXPORT = re.compile(r"^export\s+((?:async\s+)?(?:class|function|const)\s+)(\w+)", re.MULTILINE)
OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(entry: str, read: Callable[[str], str]) -> str:
    """The module `entry` with all that it imports. read: the text of a module by its name.

    Raises ValueError where a module does what this does not know.
    """
    done: dict[str, str] = {}
    parts: list[str] = []
    _add(entry, read, done, parts, [])
    return "\n".join(parts)


def _add(name: str, read: Callable[[str], str], done: dict[str, str], parts: list[str], above: list[str]) -> str:
    """Append a module after those that it imports; returns the variable that holds its exports."""
    if name in above:
        raise ValueError(f"modules in a circle: {' -> '.join([*above, name])}")
    if name in done:
        return done[name]
    text = read(name)
    taken: list[str] = []
    for names, path in IMPORT.findall(text):
        other = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        held = _add(other, read, done, parts, [*above, name])
        renamed = re.sub(r"\s+as\s+", ": ", " ".join(names.split()).rstrip(","))
        taken.append(f"const {{ {renamed} }} = {held};")
    body = IMPORT.sub("", text)
    exported = [found[1] for found in EXPORT.findall(body)]
    body = EXPORT.sub(r"\1\2", body)
    if left := OTHER.search(body):
        raise ValueError(f"{name}: {left.group()!r} is not an import or export that can be put into one script")
    done[name] = f"module{len(done)}"
    inner = "\n".join([*taken, body.strip()])
    parts.append(f"// {name}\nconst {done[name]} = (() => {{\n{inner}\nreturn {{ {', '.join(exported)} }};\n}})();")
    return done[name]
