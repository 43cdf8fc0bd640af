"""Removes from an image's site-packages what nothing in the image uses, and prints what that freed.

    python tools/release/slim.py /opt/shuffle/lib/python3.11/site-packages

Used by the Dockerfile, by e2e/cluster/image.sh and by `make dist`, so that all of them leave out the same. Nothing is
imported from the project: while an image is built, this file is all that is there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

BOTO = {"s3", "sts", "sso", "sso-oidc", "signin"}
"""AWS services that are called: the store, and those that credentials come from. botocore describes four hundred."""

UNUSED = {
    "tests of packages": ("**/tests",),
    "headers and sources": ("pyarrow/include", "pyarrow/src", "numpy/_core/include", "numpy/_core/lib/*.a"),
    "Arrow Flight": ("pyarrow/_flight*", "pyarrow/libarrow_flight*", "pyarrow/libarrow_python_flight*"),
    "other AWS services": ("botocore/data/*/",),
    "bytecode of another Python": ("**/__pycache__",),
}
"""What is removed, by a name that is printed, as patterns below site-packages."""


def slim(site: Path) -> dict[str, int]:
    """Bytes that were freed, by the names in UNUSED. Run again, it finds nothing more."""
    freed = dict.fromkeys(UNUSED, 0)
    for name, patterns in UNUSED.items():
        for path in sorted(found for pattern in patterns for found in site.glob(pattern)):
            if not path.exists() or (path.parent == site / "botocore" / "data" and _is_needed(path)):
                continue
            freed[name] += size(path)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return freed


def _is_needed(path: Path) -> bool:
    return not path.is_dir() or path.name in BOTO


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count nothing."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.lstat().st_size for each in files if each.is_file() and not each.is_symlink())


if __name__ == "__main__":
    sites = [Path(argument) for argument in sys.argv[1:]]
    if not sites or not all(site.is_dir() for site in sites):
        sys.exit("usage: slim.py SITE-PACKAGES...; expected folders that are there")
    for site in sites:
        for name, freed in slim(site).items():
            sys.stdout.write(f"{freed / 1e6:6.1f} MB  {name}\n")
        sys.stdout.write(f"{size(site) / 1e6:6.1f} MB  is left in {site}\n")
