"""Functions of the user's: their names for the resource, and where workers on this machine find them.

Workers import a function by its name, so it must be in a module that can be imported: not a lambda, nothing that was
made inside another function, nothing of a notebook's cells. A function of the script that runs is one of the module of
the script's name; the worker imports that script, so what it does must stand under `if __name__ == "__main__":`.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from shuffle_local.python.bodies import refused
from shuffle_protocol.errors import InvalidSpec
from shuffle_protocol.jobs import CodeSource, Job

AnyFunction = str | Callable[..., Any]
"""`package.module:function`, or the function itself."""

_IN_MODULE = (
    "workers import it by name: put it into a module (sessions.py beside this one) and import it from there, or give "
    'its name, "sessions:sessionize"'
)
_CHILD = "shuffle_worker.functions.child"
"""The module that runs functions, in a process of its own."""


def function_name(function: AnyFunction, call: str, argument: str) -> str:
    """`package.module:function`. Raises InvalidJob, naming that argument, where workers could not import it."""
    if isinstance(function, str):
        return function
    name = getattr(function, "__qualname__", "")
    module = getattr(function, "__module__", None)
    if not callable(function) or not isinstance(name, str) or not name or not isinstance(module, str):
        what = f"an object of type {type(function).__name__}"
        raise refused(call, argument, f"found {what}, which has no name of its own; {_IN_MODULE}")
    if "<lambda>" in name:
        raise refused(call, argument, f"found a lambda, which has no name; {_IN_MODULE}")
    if "<locals>" in name:
        raise refused(call, argument, f"found {name}, which is made inside of another function; {_IN_MODULE}")
    if inspect.ismethod(function) and not inspect.isclass(function.__self__):
        raise refused(call, argument, f"found {name}, a method of one object; {_IN_MODULE}")
    found = sys.modules.get(module)
    if _reached(found, name) != function:
        raise refused(call, argument, f"found {name}, but {module} has another of this name, or none; {_IN_MODULE}")
    return f"{_script(name, call, argument) if module == '__main__' else module}:{name}"


def _reached(module: object, name: str) -> object:
    value: object = module
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _script(name: str, call: str, argument: str) -> str:
    """The module that the script which runs is when it is imported."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and not spec.name.endswith("__main__"):
        return str(spec.name)  # python -m package.module
    file = getattr(main, "__file__", None)
    if file is None:
        raise refused(call, argument, f"found {name}, which this notebook or prompt has made; {_IN_MODULE}")
    path = Path(file)
    if path.suffix != ".py" or not path.stem.isidentifier() or path.stem == "__main__":
        raise refused(
            call, argument, f"found {name} of the script {path.name}, which is no module's name; {_IN_MODULE}"
        )
    return path.stem


def with_import_path(job: Job) -> Job:
    """A job on this machine whose workers find modules where this process does, after all other places."""
    if not job.functions_called:
        return job
    there = {source.path for source in job.functions.sources}
    more = [CodeSource(path, name=f"{path} of sys.path", last=True) for path in _import_path() if path not in there]
    return msgspec.structs.replace(
        job, functions=msgspec.structs.replace(job.functions, sources=[*job.functions.sources, *more])
    )


def _import_path() -> Iterator[str]:
    """The folders of `sys.path` but the standard library and installed packages, which every worker has."""
    installed = {Path(path).resolve() for path in sysconfig.get_paths().values()}
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry).absolute()
        resolved = folder.resolve()
        standard = resolved in installed or resolved.name == "lib-dynload"
        if folder.is_dir() and not standard and "site-packages" not in resolved.parts:
            yield str(folder)


def check_may_run() -> None:
    """Raises InvalidSpec where a worker imports the script that is to run a job: it would run it again and again."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None and spec.name == _CHILD:
        raise InvalidSpec(
            "a worker imports this module to find a function in it, and the module runs a job while it is imported; "
            'put that under `if __name__ == "__main__":`'
        )
