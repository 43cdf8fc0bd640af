"""Prints how many circles of imports there are, between files and between folders: 0 and 0.

A circle is a set of files (or folders) of which each can be reached from each along imports, those under
`TYPE_CHECKING` and within functions included. With `--rooms`, also prints every folder with its floor: one above the
highest of those that it imports from.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping

import grimp

PACKAGES = ("shuffle_protocol", "shuffle_worker", "shuffle_operator", "shuffle_local")

Imports = Mapping[str, set[str]]


def file_imports() -> dict[str, set[str]]:
    """Each module, and the modules of the project that it imports."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}


def folder_imports(files: Imports) -> dict[str, set[str]]:
    """The same of the folders that they are in, each without itself."""
    packages = {module.rpartition(".")[0] for module in files} | set(PACKAGES)

    def folder(module: str) -> str:
        return module if module in packages else module.rpartition(".")[0]

    folders: dict[str, set[str]] = defaultdict(set)
    for module, imported in files.items():
        folders[folder(module)] |= {folder(other) for other in imported} - {folder(module)}
    return dict(folders)


def circles(imports: Imports) -> list[list[str]]:
    """Sets of more than one that can all be reached from each other."""
    reached = {one: _reached(one, imports) for one in imports}
    together = {frozenset(other for other in reached[one] if one in reached.get(other, ())) for one in imports}
    return sorted(sorted(each) for each in together if len(each) > 1)


def _reached(start: str, imports: Imports) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        for other in imports.get(ahead.pop(), set()) - found:
            found.add(other)
            ahead.append(other)
    return found


def floors(imports: Imports) -> dict[str, int]:
    """How high each stands where there are no circles: 1 for what imports nothing."""
    heights: dict[str, int] = {}

    def height(one: str) -> int:
        if one not in heights:
            heights[one] = 1 + max((height(other) for other in imports.get(one, ())), default=0)
        return heights[one]

    for one in imports:
        height(one)
    return heights


def shown(what: str, found: Iterable[list[str]]) -> list[str]:
    found = list(found)
    return [f"circles between {what}: {len(found)}", *(f"  {', '.join(each)}" for each in found)]


def main() -> int:
    files = file_imports()
    folders = folder_imports(files)
    between_files, between_folders = circles(files), circles(folders)
    print(*shown("files", between_files), *shown("folders", between_folders), sep="\n")  # noqa: T201
    if "--rooms" in sys.argv[1:] and not between_folders:
        for name, floor in sorted(floors(folders).items(), key=lambda item: (item[1], item[0])):
            print(f"{floor:3}  {name}")  # noqa: T201
    return bool(between_files or between_folders)


if __name__ == "__main__":
    sys.exit(main())
