"""Writes locked versions with the hashes of their files, for `pip install --require-hashes`.

    pip-compile ... | python tools/hashes.py requirements-image.txt

Takes lines `name==version`. Hashes of a version do not change: those that one of the files has already are taken over,
and only new versions are asked for.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMPILE = ["-", "--quiet", "--generate-hashes", "--no-annotate", "--no-header", "--strip-extras", "--allow-unsafe"]
QUIET = ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-emit-options"]


def blocks(text: str) -> dict[str, str]:
    """`name==version` to its lines with hashes."""
    found = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)
    return {block.split()[0]: block.rstrip() for block in found if "--hash=" in block}


def main(output: Path, wanted: list[str]) -> int:
    known: dict[str, str] = {}
    for file in ROOT.glob("requirements-*.txt"):
        known |= blocks(file.read_text(encoding="utf-8"))
    new = [pin for pin in wanted if pin not in known]
    if new:
        command = [str(Path(sys.executable).parent / "pip-compile"), *COMPILE, *QUIET, "--output-file=-"]
        constraint = f"--constraint={ROOT / 'constraints.txt'}"
        done = subprocess.run(
            [*command, constraint], input="\n".join(new), stdout=subprocess.PIPE, text=True, check=True
        )
        known |= blocks(re.sub(r"^#.*\n", "", done.stdout, flags=re.MULTILINE))
    output.write_text("".join(f"{known[pin]}\n" for pin in wanted), encoding="utf-8")
    return 0


if __name__ == "__main__":
    pins = [line.split()[0] for line in sys.stdin if re.match(r"[A-Za-z0-9][^\s=]*==\S", line)]
    sys.exit(main(ROOT / sys.argv[1], pins))
