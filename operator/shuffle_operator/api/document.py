"""A YAML document as kubectl would read it, with the line of every value, and what is wrong with the text itself.

`validation` reads job files with it. PyYAML's own loaders would not do: they keep the last of two equal keys, forget
lines, make dates of strings and base-60 numbers of `1:30`, and read `y` as text where kubectl reads a boolean. One file
must mean the same to `shuffle run` and to `kubectl apply`, so the scalars follow kubectl's reader here, and what was
written is kept, so that a message can say that `NO` was taken for a boolean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from shuffle_operator.api.problems import Path, Problem

MAX_BYTES = 1 << 20
"""Of a job file. Kubernetes refuses an object beyond about 1.5 MB, so no larger file could ever be applied."""

MAX_NODES = 50_000
"""Values in a document after its aliases are expanded; stops a file of nested aliases from filling the memory."""

_TRUE = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
_FALSE = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
_NULL = {"", "~", "null", "Null", "NULL"}
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_BASED = re.compile(r"[-+]?0(x[0-9a-fA-F_]+|o?[0-7_]+|b[01_]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass
class Document:
    """A job file as YAML has it, and where its values stand."""

    value: object = None
    """What the text says."""
    lines: dict[Path, int] = field(default_factory=dict)
    """The line of every value, and of every key, by path."""
    written: dict[Path, str] = field(default_factory=dict)
    """The text of scalars that were no strings to YAML although they look like words."""
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """The line of a path, or of the nearest thing above it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def read(text: str) -> Document:
    """Read one document. What cannot be read is in `problems`; `value` is then what could be."""
    document = Document()
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        document.problems.append(Problem((), f"the file is longer than {MAX_BYTES:,} bytes: this is no job file"))
        return document
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.BaseLoader) if not _empty(node)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        what = " ".join(part for part in (error.context, error.problem) if part)
        document.problems.append(Problem((), f"this is not YAML: {what}", line))
        return document
    except yaml.YAMLError as error:
        document.problems.append(Problem((), f"this is not YAML: {' '.join(str(error).split())}"))
        return document
    except RecursionError:
        document.problems.append(Problem((), "this is not a job: it is nested too deeply to be read"))
        return document
    if not nodes:
        document.problems.append(Problem((), "the file is empty; `shuffle init` writes a job to start from"))
        return document
    if len(nodes) > 1:
        message = f"the file holds {len(nodes)} documents (separated by `---`), expected one ShuffleJob a file"
        document.problems.append(Problem((), message, nodes[1].start_mark.line + 1))
    _Builder(document).build(nodes[0])
    return document


def _empty(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULL)


class _TooLarge(Exception):
    pass


class _Builder:
    """Turns nodes into plain values, counting them, because an alias may stand for many."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def build(self, root: yaml.Node) -> None:
        try:
            self.document.value = self._value(root, ())
        except (_TooLarge, RecursionError):
            message = f"the file says more than {MAX_NODES:,} values once its aliases are expanded: this is no job file"
            self.document.problems.append(Problem((), message))

    def _value(self, node: yaml.Node, path: Path) -> object:
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > 100:
            raise _TooLarge
        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if not str(node.tag).startswith("tag:yaml.org,2002:"):
            message = f"the YAML tag `{node.tag}` means nothing in a job; leave it out"
            self.document.problems.append(Problem(path, message, node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        first: dict[str, int] = {}
        for key_node, value_node in self._pairs(node, path):
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.problems.append(Problem(path, "a key must be a word, not a list or a mapping", line))
                continue
            key = key_node.value
            if key in first:
                message = f"`{key}` is given twice (first in line {first[key]}); keep one of them"
                self.document.problems.append(Problem((*path, key), message, line))
                continue
            first[key] = line
            self.document.lines[(*path, key)] = line
            result[key] = self._value(value_node, (*path, key))
        return result

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """The entries of a mapping; those that `<<` merges come last and yield to its own."""
        merged: list[yaml.Node] = []
        own: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.style is None:
                merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            own.add(str(key.value))
            yield key, value
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                line = source.start_mark.line + 1
                self.document.problems.append(Problem(path, "`<<` merges mappings; this is none", line))
                continue
            self.nodes += 1
            if len(path) > 100 or self.nodes > MAX_NODES:
                raise _TooLarge
            for key, value in self._pairs(source, (*path, "<<")):
                if str(key.value) not in own:
                    own.add(str(key.value))
                    yield key, value

    def _scalar(self, node: yaml.Node, path: Path) -> object:
        text = str(node.value)
        if getattr(node, "style", None) is not None:
            return text
        value = plain_scalar(text)
        if not isinstance(value, str):
            self.document.written[path] = text
        return value


def plain_scalar(text: str) -> object:
    """What a word without quotes means to kubectl's YAML reader."""
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _DECIMAL.fullmatch(text):
        return int(text.replace("_", "")) if len(text) < 40 else float(text.replace("_", ""))
    if _BASED.fullmatch(text) and len(text) < 40:
        digits = text.replace("_", "").lower()
        octal = re.fullmatch(r"([-+]?)0([0-7]+)", digits)
        try:
            return int(f"{octal[1]}0o{octal[2]}" if octal else digits, 0)
        except ValueError:
            return text
    if _FLOAT.fullmatch(text):
        return float(text)
    if text.lower().lstrip("+-") in {".inf", ".nan"}:
        return float(text.lower().replace(".", ""))
    return text
