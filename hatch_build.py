"""Puts the commit that a wheel or an sdist is made of into it, where `shuffle --version` finds it.

The version itself comes from the tags (pyproject.toml, `tool.hatch.version`). An editable install gets nothing: there
the commit changes under the installation, and is asked for when it is wanted.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "COMMIT"
PACKAGE = "shuffle_protocol"
"""COMMIT lies in this package, beside `release.py`, which reads it."""


class CommitHook(BuildHookInterface):
    """`tool.hatch.build.hooks.custom`."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before anything is built. version: `standard`, or `editable`."""
        root = Path(self.root)
        if version == "editable" or (root / "protocol" / PACKAGE / NAME).exists():  # there: of an sdist
            return
        commit = commit_of(root)
        if not commit:
            return
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / NAME
        file.write_text(commit + "\n", encoding="utf-8")
        inside = f"{PACKAGE}/{NAME}" if self.target_name == "wheel" else f"protocol/{PACKAGE}/{NAME}"
        build_data["force_include"][str(file)] = inside


def commit_of(root: Path) -> str:
    """The commit of a checkout, with `-dirty` where files were changed, or of an archive made by git; "" of other
    folders. A repository around the folder, which is not the project's own, does not count."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        top = subprocess.run([*command[:3], "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True)
        if Path(top.stdout.strip()).resolve() == root.resolve():
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pass  # no git, or no repository
    archived = root / ".git_archival.txt"
    text = archived.read_text(encoding="utf-8") if archived.exists() else ""
    found = re.search(r"^node: ([0-9a-f]{40})$", text, re.MULTILINE)
    return found[1] if found else ""
