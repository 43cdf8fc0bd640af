"""Finds the function that `package.module:function` names, or raises a message that says where it looked.

`child.py` calls it; it changes the import path of the process (`find_in`). Modules are looked for in PYTHONPATH, the
standard library, the code that the job brings, the packages of the image, and the folder of the job file, in this
order. So a job may bring a newer version of an installed package, and no file beside a job can hide one of Python's own
modules.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import site
import sys
from collections.abc import Callable, Sequence
from typing import Any

from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.units import some
from shuffle_worker.functions.sources import ImportPath
from shuffle_worker.functions.tracebacks import told

MOST_NAMES = 12


IMAGE = "; install it here, or in the image that the job names in workers.image"


def no_library(library: str, error: Exception) -> str:
    """The message that a function needs a library for what it is given."""
    said = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be imported ({error})"
    return f"{library} {said}{IMAGE}; or annotate the parameter as pa.Table, which needs no {library}"


def find_in(places: Sequence[ImportPath]) -> None:
    """Look for modules in these places too from now on."""
    installed = site.getsitepackages()
    at = next((i for i, entry in enumerate(sys.path) if entry in installed), len(sys.path))
    sys.path[at:at] = [place.folder for place in places if not place.last]
    sys.path += [place.folder for place in places if place.last]
    importlib.invalidate_caches()


def load_function(name: str, places: Sequence[ImportPath] = ()) -> Callable[..., Any]:
    """places: those of `find_in`, for the message. Raises InvalidSpec if there is no such function."""
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise InvalidSpec(f"{name!r} names no function; write package.module:function")
    value: Any = _module(name, module_name, places)
    reached = module_name
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise InvalidSpec(f"{name}: {_kind(value)} {reached} has no {part!r}; {_instead(part, value)}")
        value = getattr(value, part)
        reached = f"{reached}.{part}"
    if not callable(value):
        raise InvalidSpec(f"{name}: is no function but {_a(value)}")
    if inspect.iscoroutinefunction(value) or inspect.isasyncgenfunction(value):
        raise InvalidSpec(f"{name}: is an async function, which nothing here awaits; write it without async")
    function: Callable[..., Any] = value
    return function


def _module(name: str, module_name: str, places: Sequence[ImportPath]) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name != missing and not module_name.startswith(f"{missing}."):
            raise InvalidSpec(
                f"{name}: {module_name} was found, but it imports {missing!r}, which was not{IMAGE}. {_tried(places)}"
            ) from error
        raise InvalidSpec(
            f"{name}: there is no module {missing!r}{_close(missing, places)}. {_tried(places)}"
        ) from error
    except BaseException as error:  # a module may do anything when it is imported, even sys.exit()
        raise InvalidSpec(f"{name}: importing {module_name} failed: {told(error, places)}") from error


def _tried(places: Sequence[ImportPath]) -> str:
    """Where modules were looked for, in people's words."""
    tried = [f"{place.name} ({_contents(place.folder)})" for place in places if not place.last]
    tried += [f"PYTHONPATH {entry}" for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    tried.append(f"the packages installed for the worker ({', '.join(site.getsitepackages())})")
    tried += [f"{place.name} ({_contents(place.folder)})" for place in places if place.last]
    return f"It was looked for in: {'; '.join(tried)}"


def _modules_in(folder: str) -> list[str]:
    """The names of the modules in a folder."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    names = []
    for entry in entries:
        stem, dot, suffix = entry.name.partition(".")
        package = entry.is_dir() and entry.name.isidentifier() and entry.name != "__pycache__"
        if package or (dot and suffix == "py" and stem.isidentifier()):
            names.append(stem)
    return names


def _contents(folder: str) -> str:
    names = _modules_in(folder)
    if not names:
        return "which has no modules" if os.path.isdir(folder) else "which is not there"  # noqa: PTH112
    return f"which has {some(names, MOST_NAMES)}"


def _close(missing: str, places: Sequence[ImportPath]) -> str:
    """A hint at a module with a similar name."""
    top, *below = missing.split(".")
    if below:  # its package is there, so look inside
        package = sys.modules.get(missing.rpartition(".")[0])
        paths = list(getattr(package, "__path__", []))
    else:
        paths = [place.folder for place in places]
    names = [name for path in paths for name in _modules_in(path)]
    close = difflib.get_close_matches(below[-1] if below else top, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _instead(part: str, value: Any) -> str:
    names = [name for name in dir(value) if not name.startswith("_") and callable(getattr(value, name, None))]
    close = difflib.get_close_matches(part, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "it has no functions at all"
    return f"it has {some(names, MOST_NAMES)}"


def _kind(value: Any) -> str:
    return "the module" if inspect.ismodule(value) else "the class" if inspect.isclass(value) else "the object"


def _a(value: Any) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[:1].lower() in 'aeiou' else 'a'} {kind}"
