"""Where the project lies, and its programs beside the packages as modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[1]


def script(path: str) -> ModuleType:
    """A file of the project that is no part of a package, imported anew. path: below the project's folder."""
    file = PROJECT / path
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
