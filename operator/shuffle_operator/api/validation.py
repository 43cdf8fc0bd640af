"""From a job file, or a resource of the cluster, to a checked `ShuffleJob`: or to every problem that it has.

`shuffle validate`, `shuffle run` and the operator call `load_job` or `check_job`. Three kinds of checks, whose problems
are reported together, in the order of the file: the text (document.py), the type and limits of each field (the models),
and what concerns several fields (rules.py, paths.py, and the columns below). Nothing is opened or listed here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from pydantic import ValidationError

from shuffle_operator.api import document as documents
from shuffle_operator.api import rules
from shuffle_operator.api.explain_errors import problem_of
from shuffle_operator.api.fields import model_at
from shuffle_operator.api.paths import below, overlap
from shuffle_operator.api.plain import mapping, objects, texts
from shuffle_operator.api.problems import InvalidJob, Path, Problem, found, nearest, shorten
from shuffle_operator.api.spec import API_VERSION, KIND, ShuffleJob

METADATA_FIELDS = (
    "name", "generateName", "namespace", "labels", "annotations", "uid", "resourceVersion", "generation",
    "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers",
    "managedFields", "selfLink",
)  # fmt: skip
"""What Kubernetes knows in an object's metadata."""

FREE = {"options", "affinity", "labelSelector", "podTemplate"}
"""Fields whose contents are not checked one by one."""


class Loaded(NamedTuple):
    """A checked job, and the document that it was read from."""

    job: ShuffleJob
    document: documents.Document

    def placed(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems found later, with their lines in the file."""
        return _placed(problems, self.document)


def load_job(source: FilePath | str) -> ShuffleJob:
    """The job of a file (a `Path`, or a string without a line break that names one; `-` is standard input) or of a
    text. Raises InvalidJob, an InvalidSpec, with all problems."""
    return load(source).job


def load(source: FilePath | str) -> Loaded:
    """As `load_job`, with the document."""
    name = ""
    if isinstance(source, FilePath) or "\n" not in source.strip():
        text = read_file(FilePath(source))
        name = "standard input" if str(source) == "-" else str(source)
    else:
        text = source
    document = documents.read(text)
    problems = list(document.problems)
    job: ShuffleJob | None = None
    if document.value is not None:
        try:
            job = check_job(document.value, document)
        except InvalidJob as error:
            problems += error.problems
    if problems or job is None:
        raise InvalidJob(sorted(problems, key=lambda problem: problem.line or 0), name)
    return Loaded(job, document)


def read_file(path: FilePath) -> str:
    """The text of a job file. Raises InvalidJob where there is none."""
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(documents.MAX_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(documents.MAX_BYTES + 1)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidJob([Problem((), "this is no text in UTF-8, so no job file")], str(path)) from None
    except FileNotFoundError:
        raise InvalidJob([Problem((), "no such file; `shuffle init` writes a job to start from")], str(path)) from None
    except IsADirectoryError:
        raise InvalidJob([Problem((), "this is a folder, expected a job file")], str(path)) from None
    except OSError as error:
        raise InvalidJob([Problem((), f"the file cannot be read: {error.strerror}")], str(path)) from None


def check_job(data: object, document: documents.Document | None = None) -> ShuffleJob:
    """A checked job from plain data; its status, if there is one, is left out. Raises InvalidJob with all problems."""
    document = document or documents.Document()

    def refuse(problems: list[Problem]) -> InvalidJob:
        return InvalidJob(_placed(problems, document))

    if not isinstance(data, Mapping):
        expected = "a ShuffleJob: a mapping with apiVersion, kind, metadata and spec"
        raise refuse([Problem((), f"found {found(data)}, expected {expected}")])
    problems = list(_kind_problems(data))
    if problems and not _is_meant(data):
        raise refuse(problems)
    told = {"status", "apiVersion", "kind"} | {_misspelt(data, field) for field in ("apiVersion", "kind")}
    body = {key: value for key, value in data.items() if key not in told}
    body = {key: _without_nulls(value, (key,), problems) for key, value in body.items()}
    problems += _metadata_problems(body.get("metadata"))
    job: ShuffleJob | None = None
    try:
        job = ShuffleJob.model_validate(body, by_alias=True, by_name=False)
    except ValidationError as error:
        problems += [problem_of(each, document.written) for each in error.errors(include_url=False)]
    seen = {problem.path for problem in problems}
    problems += [problem for problem in _cross_problems(body) if problem.path not in seen]
    if problems or job is None:
        raise refuse(problems)
    return job


def _placed(problems: Iterable[Problem], document: documents.Document) -> list[Problem]:
    """The problems with their lines, in the order of the file."""
    placed = [p if p.line else p._replace(line=document.line(p.path)) for p in problems]
    return sorted(placed, key=lambda problem: problem.line or 0)


def _is_meant(data: Mapping[str, Any]) -> bool:
    """Whether this is a ShuffleJob all the same. For another kind of object only its kind is reported: its
    fields would only give noise."""
    spec = mapping(data.get("spec"))
    return any(name in spec for name in ("operation", "inputs", "output"))


def _misspelt(data: Mapping[str, Any], field: str) -> str | None:
    """The key that was meant for a field that is not there."""
    known = ("apiVersion", "kind", "metadata", "spec", "status")
    return None if field in data else nearest(field, [key for key in data if isinstance(key, str) and key not in known])


def _kind_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    for field, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if field not in data:
            close = _misspelt(data, field)
            hint = f" (found `{shorten(close)}`)" if close else ""
            yield Problem((), f"`{field}` is missing{hint}; write {field}: {wanted}")
        elif data[field] != wanted:
            yield Problem((field,), f"found {found(data[field])}, expected {wanted}")


def _without_nulls(value: object, path: Path, problems: list[Problem]) -> object:
    """The value without empty fields, which are reported: the API server refuses or drops them; they mean nothing."""
    if isinstance(value, Mapping):
        result: dict[str, object] = {}
        for key, item in value.items():
            here = (*path, str(key))
            if path[0] != "spec" or key in FREE:
                result[str(key)] = item
            elif item is None:
                defaults = ", write {} for its defaults," if model_at(here) is not None else ""
                problems.append(Problem(here, f"this is empty; give it a value{defaults} or leave it out"))
            else:
                result[str(key)] = _without_nulls(item, here, problems)
        return result
    if isinstance(value, list):
        return [_without_nulls(item, (*path, index), problems) for index, item in enumerate(value)]
    return value


def _metadata_problems(metadata: object) -> Iterator[Problem]:
    if not isinstance(metadata, Mapping):
        return
    for key in metadata:
        if key not in METADATA_FIELDS:
            close = nearest(str(key), METADATA_FIELDS)
            hint = f"; did you mean `{close}`?" if close else ""
            yield Problem(("metadata", str(key)), f"there is no such field{hint}")


def _cross_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    for rule in rules.RULES:
        for path, node in _at(body, rule.scope):
            if not rule.holds(node):
                below = tuple(rule.field.split(".")) if rule.field else ()
                yield Problem((*path, *below), rule.message + _rule_detail(rule, node))
    spec = mapping(body.get("spec"))
    yield from _overlap_problems(spec)
    yield from _base_problems(spec)
    yield from _column_problems(spec)


def _rule_detail(rule: rules.Rule, node: Mapping[str, Any]) -> str:
    """What was found, where the message alone leaves one wondering."""
    if rule.field == "operation":
        given = [name for name in rules.OPERATIONS if name in mapping(node.get("operation"))]
        return f"; found {' and '.join(given)}" if given else "; found none"
    if rule.field == "operation.join":
        names = [item.get("name") for item in objects(node.get("inputs"))]
        return f"; they are named {', '.join(found(name) for name in names)}"
    return ""


def _at(body: Mapping[str, Any], scope: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The objects that a rule is about, with their paths."""
    places: list[tuple[Path, object]] = [((), body)]
    for step in scope.split(".") if scope else []:
        name, listed = step.removesuffix("[]"), step.endswith("[]")
        found_here: list[tuple[Path, object]] = []
        for path, node in places:
            child = mapping(node).get(name)
            if listed and isinstance(child, list):
                found_here += [((*path, name, index), item) for index, item in enumerate(child)]
            elif not listed:
                found_here.append(((*path, name), child))
        places = found_here
    for path, node in places:
        if isinstance(node, Mapping):
            yield path, node


def _overlap_problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    output = mapping(spec.get("output")).get("path")
    if not isinstance(output, str) or not output:
        return
    for item in objects(spec.get("inputs")):
        for source in [*texts([item.get("path")]), *texts(item.get("paths"))]:
            how = overlap(source, output) if source else None
            if how:
                message = f'the output "{shorten(output)}" {how} the input "{shorten(source)}"; write somewhere else'
                yield Problem(("spec", "output", "path"), message)
                return


def _base_problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Paths that are not below the root of their table."""
    for index, item in enumerate(objects(spec.get("inputs"))):
        base = item.get("basePath")
        if not isinstance(base, str) or not base:
            continue
        for source in [*texts([item.get("path")]), *texts(item.get("paths"))]:
            if source and not below(source, base):
                message = f'the path "{shorten(source)}" is not below it; basePath is the folder that all paths are in'
                yield Problem(("spec", "inputs", index, "basePath"), message)
                break


def _column_problems(spec: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys that the projection leaves out; with one input only, because a join names columns of both."""
    inputs = objects(spec.get("inputs"))
    known = _known_columns(inputs[0]) if len(inputs) == 1 else None
    if known is None:
        return
    columns, whose, where = known
    for path, name in _key_columns(spec):
        if name not in columns:
            close = nearest(name, columns)
            hint = f'did you mean "{shorten(close)}"?' if close else f"add it to {where}"
            yield Problem(path, f'"{shorten(name)}" is not among the columns that {whose}; {hint}')


def _known_columns(item: Mapping[str, Any]) -> tuple[list[str], str, str] | None:
    """The columns that an operation gets of an input, whose they are, and where; None where the job does not say."""
    if "map" in item:
        names = texts([one.get("name") for one in objects(item.get("mapSchema"))])
        return (names, "spec.inputs[0].map returns by its mapSchema", "mapSchema") if names else None
    if not isinstance(item.get("columns"), list):
        return None
    return texts(item["columns"]), "spec.inputs[0].columns reads", "columns"


def _key_columns(spec: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    operation = mapping(spec.get("operation"))
    lists: list[tuple[Path, object]] = [
        (("spec", "operation", kind, field), mapping(operation.get(kind)).get(field))
        for kind, field in (
            ("repartition", "by"),
            ("repartition", "range"),
            ("groupBy", "by"),
            ("distinct", "by"),
            ("cluster", "by"),
            ("window", "by"),
        )
    ]
    lists.append((("spec", "output", "sortWithin"), mapping(spec.get("output")).get("sortWithin")))
    if "groupBy" in operation:
        lists.pop()  # its output has other columns than its input
    for path, names in lists:
        for index, name in enumerate(names if isinstance(names, list) else []):
            if isinstance(name, str):
                yield (*path, index), name
    for kind, field in (("sort", "by"), ("distinct", "orderBy"), ("window", "orderBy"), ("groupBy", "aggregations")):
        keys = mapping(operation.get(kind)).get(field)
        for index, key in enumerate(keys if isinstance(keys, list) else []):
            if isinstance(key, Mapping) and isinstance(key.get("column"), str):
                yield ("spec", "operation", kind, field, index, "column"), key["column"]
