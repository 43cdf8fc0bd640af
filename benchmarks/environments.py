"""An environment of its own for each peer, so that no peer's requirements bend ours: made at first use, then kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def python_for(requirements: str | None, root: Path) -> Path:
    """The interpreter of the environment for a requirements file; ours if it needs none.

    The folder's name carries a digest of the file: a changed file makes a new environment, and one that was interrupted
    while it was made is under another name."""
    if requirements is None:
        return Path(sys.executable)
    text = (HERE / requirements).read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    folder = root / f"{Path(requirements).stem.removeprefix('requirements-')}-{digest}"
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        print(f"making an environment from {requirements} ...", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / requirements)], check=True)
        complete.touch()
    return python


def versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of `packages` in an interpreter's environment; those that are not there are left out."""
    program = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({p: have[p] for p in sys.argv[1:] if p in have}))"
    )
    done = subprocess.run([str(python), "-c", program, *packages], check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
