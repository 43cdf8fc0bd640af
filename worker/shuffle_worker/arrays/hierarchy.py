"""Reads a store's metadata: every array's own document, never the consolidated copy.

Consolidated metadata is a copy of all documents in one file. It is stale when an array has grown or was added and
nobody consolidated again, and an array read by it would be cut short silently. So each group is listed and each node's
own document is read, several at a time. That takes one request an array in format 3, two in format 2 (attributes are a
file of their own), and one or two and a listing a group. The copy helps only if a store cannot be listed: the nodes
that it names are looked for too. If the two disagree, a note says so.

Memory: all documents of the store, some kilobytes an array.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

from shuffle_protocol.errors import DataError, InputNotFound
from shuffle_worker.arrays.consolidated import copies_in, differences
from shuffle_worker.arrays.source import ArraySource, Hierarchy, source_of
from shuffle_worker.arrays.store import folders, read_file
from shuffle_worker.storage import Storage

_READERS = 16
"""Documents that are read at once, because an object store takes tens of milliseconds for each."""


class Node(NamedTuple):
    """A group or an array by its own documents."""

    path: str
    is_array: bool
    document: dict[str, Any]
    """`.zarray`, `.zgroup` or `zarr.json`."""
    attributes: dict[str, Any]


def read_hierarchy(storage: Storage, folder: str) -> Hierarchy:
    """The metadata of the store at a folder. Raises InputNotFound if there is none, DataError if a document cannot be
    read."""
    documents = _Documents(storage, folder)
    root = documents.node("", 3) or documents.node("", 2)
    if root is None:
        raise InputNotFound(f"{folder}: is no Zarr store (there is no zarr.json, .zgroup or .zarray in it)")
    zarr_format = int(root.document["zarr_format"])
    if root.is_array:
        return Hierarchy(zarr_format, [documents.source(root)], [], documents.requests)
    copies = copies_in(documents.consolidated(root, zarr_format), zarr_format)
    with ThreadPoolExecutor(_READERS, thread_name_prefix="documents") as pool:
        nodes = _walk(documents, zarr_format, pool)
        unlisted = sorted(set(copies) - set(nodes) - {""})
        nodes.update(documents.nodes(unlisted, zarr_format, pool))
    arrays = [documents.source(nodes[path]) for path in sorted(nodes) if nodes[path].is_array]
    groups = {"": root.attributes, **{above: {} for path in nodes for above in _above(path)}}
    groups.update({path: node.attributes for path, node in nodes.items() if not node.is_array})
    notes = differences(folder, copies, arrays) if copies else ()
    return Hierarchy(zarr_format, arrays, sorted(groups.items()), documents.requests, notes)


def _walk(documents: _Documents, zarr_format: int, pool: ThreadPoolExecutor) -> dict[str, Node]:
    """All nodes below the root, level by level by listing the groups."""
    nodes: dict[str, Node] = {}
    level = [""]
    while level:
        names = pool.map(documents.below, level)
        found = documents.nodes([path for each in names for path in each], zarr_format, pool)
        nodes.update(found)
        level = [path for path, node in found.items() if not node.is_array]
    return nodes


def _above(path: str) -> list[str]:
    """The groups that a node lies in, without the root."""
    return [path[:at] for at, character in enumerate(path) if character == "/"]


class _Documents:
    """The documents of one store. Several threads call it."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder
        self._lock = Lock()
        self.requests = 0

    def source(self, node: Node) -> ArraySource:
        return source_of(self._folder, node.path, node.document, node.attributes)

    def nodes(self, paths: Sequence[str], zarr_format: int, pool: ThreadPoolExecutor) -> dict[str, Node]:
        """The nodes among some paths: groups and arrays."""
        found: Iterable[Node | None] = pool.map(lambda path: self.node(path, zarr_format), paths)
        return {node.path: node for node in found if node is not None}

    def node(self, path: str, zarr_format: int) -> Node | None:
        if zarr_format == 3:
            document = self._json(path, "zarr.json")
            if document is None:
                return None
            kind = document.get("node_type")
            if kind not in ("array", "group"):
                where = f"{self._where(path)}/zarr.json"
                raise DataError(f"{where}: its metadata cannot be read: its node_type is {kind!r}")
            return Node(path, kind == "array", document, self._attributes(path, document))
        for name in (".zarray", ".zgroup"):
            document = self._json(path, name)
            if document is not None:
                attributes = self._json(path, ".zattrs") or {}
                return Node(path, name == ".zarray", document, attributes)
        return None

    def below(self, path: str) -> list[str]:
        """The paths of the folders in a group."""
        with self._lock:
            self.requests += 1
        return [f"{path}/{name}".lstrip("/") for name in folders(self._storage, self._where(path))]

    def consolidated(self, root: Node, zarr_format: int) -> dict[str, Any] | None:
        """The store's copy of all documents, in the form of its format; None if it has none."""
        if zarr_format == 2:
            try:
                return self._json("", ".zmetadata")
            except DataError:  # it is only a copy
                return None
        found = root.document.get("consolidated_metadata")
        return found if isinstance(found, dict) else None

    def _where(self, path: str) -> str:
        return f"{self._folder}/{path}".rstrip("/")

    def _attributes(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        found = document.get("attributes") or {}
        if not isinstance(found, dict):
            raise DataError(f"{self._where(path)}/zarr.json: its attributes are no JSON object")
        return found

    def _json(self, path: str, name: str) -> dict[str, Any] | None:
        where = f"{self._where(path)}/{name}"
        with self._lock:
            self.requests += 1
        data = read_file(self._storage, where)
        if data is None:
            return None
        try:
            found = json.loads(data)
        except ValueError as error:
            raise DataError(f"{where}: its metadata cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise DataError(f"{where}: its metadata cannot be read: a JSON object is expected")
        if name != ".zattrs" and name != ".zmetadata" and found.get("zarr_format") != (3 if name == "zarr.json" else 2):
            raise DataError(f"{where}: its metadata cannot be read: its zarr_format is {found.get('zarr_format')!r}")
        return found
