"""The rules that concern several fields at once, each in one place: for the API server in CEL, for us in Python.

`schema` puts the CEL into the CRD; `validation` runs the Python on every job, in a cluster too, because API servers
older than 1.25 ignore CEL. A test runs both forms of each rule over the same jobs. The CEL keeps to what every server
understands: has, size, matches, startsWith, all, exists_one, self, oldSelf.

A check sees plain data that may have any shape, since all problems of a file are reported at once: what has not the
expected type counts as absent here and is reported by the field's own type. Names that are words of CEL are written as
Kubernetes escapes them: `__function__`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from shuffle_operator.api.join_rules import (
    BESIDE_SIDES_CEL,
    INPUTS_WANTED_CEL,
    JOIN_INPUTS_CEL,
    JOIN_KEYS_CEL,
    beside_sides,
    inputs_wanted,
    join_inputs,
    join_keys,
    names_once,
)
from shuffle_operator.api.plain import Object, given, mapping, objects
from shuffle_operator.api.spec import MAX_NAME, NAME_PATTERN

OPERATIONS = ("repartition", "sort", "join", "groupBy", "distinct", "cluster", "window", "rechunk")


class Rule(NamedTuple):
    """A rule between fields: in CEL for the API server, in Python for everybody else."""

    scope: str
    """The object it is about, by its path, `[]` for each item of a list, "" for the whole resource."""
    field: str
    """The field below the scope that the message is shown at."""
    message: str
    cel: str
    holds: Callable[[Object], bool]
    """Whether an object keeps the rule."""


def _one_operation(spec: Object) -> bool:
    return not isinstance(spec.get("operation"), Mapping) or given(spec["operation"], *OPERATIONS) == 1


def _replica_range(workers: Object) -> bool:
    least, most = workers.get("minReplicas"), workers.get("maxReplicas")
    return not (isinstance(least, int) and isinstance(most, int)) or least <= most


def _sort_within(spec: Object) -> bool:
    operation = mapping(spec.get("operation"))
    ordered = given(operation, "sort", "cluster") or "random" in mapping(operation.get("repartition"))
    return not ordered or "sortWithin" not in mapping(spec.get("output"))


def _calls_functions(spec: Object) -> bool:
    operation = mapping(spec.get("operation"))
    applied = "apply" in mapping(operation.get("groupBy")) or "apply" in mapping(operation.get("rechunk"))
    return applied or any(given(item, "map", "reader") for item in objects(spec.get("inputs")))


_COUNTED = " + ".join(f"(has(self.operation.{name}) ? 1 : 0)" for name in OPERATIONS)

RULES: tuple[Rule, ...] = (
    Rule(
        "",
        "metadata.name",
        f"a job's name begins with a lower-case letter, holds lower-case letters, digits and -, and has at most "
        f"{MAX_NAME} characters",
        f"size(self.metadata.name) <= {MAX_NAME} && self.metadata.name.matches('{NAME_PATTERN}')",
        lambda _job: True,  # the field's own type says so
    ),
    Rule(
        "spec",
        "operation",
        f"give exactly one operation of {', '.join(OPERATIONS)}",
        f"{_COUNTED} == 1",
        _one_operation,
    ),
    Rule(
        "spec",
        "inputs",
        "a join needs two inputs, or one more than it has sides; a rechunk needs one",
        INPUTS_WANTED_CEL,
        inputs_wanted,
    ),
    Rule(
        "spec",
        "inputs",
        "two inputs have the same name; give each another",
        "(has(self.operation.join) && !has(self.operation.join.sides)) || self.inputs.all(i, !has(i.name) || "
        "self.inputs.exists_one(other, has(other.name) && other.name == i.name))",
        names_once,
    ),
    Rule(
        "spec",
        "operation.join",
        "left and right must be the names of the two inputs, or left and the right of each side those of all inputs",
        JOIN_INPUTS_CEL,
        join_inputs,
    ),
    Rule(
        "spec",
        "output.sortWithin",
        "a sort, a cluster and a random order already order the rows in each file; leave sortWithin out",
        "!has(self.output.sortWithin) || !(has(self.operation.sort) || has(self.operation.cluster) || "
        "(has(self.operation.repartition) && has(self.operation.repartition.random)))",
        _sort_within,
    ),
    Rule(
        "spec.operation.repartition",
        "",
        "give by (hash), range or random, one of them at most; none deals the rows out in turn",
        "(has(self.by) ? 1 : 0) + (has(self.range) ? 1 : 0) + (has(self.random) ? 1 : 0) < 2",
        lambda node: given(node, "by", "range", "random") < 2,
    ),
    Rule(
        "spec.operation.join",
        "",
        "give on, or leftOn and rightOn with as many columns each; a Cross join has no keys",
        f"has(self.sides) || ({JOIN_KEYS_CEL})",
        join_keys,
    ),
    Rule(
        "spec.operation.join",
        "asOf",
        "type: AsOf needs asOf (the columns of time), and no other type has it",
        "(has(self.type) && self.type == 'AsOf') == has(self.asOf)",
        lambda node: (node.get("type") == "AsOf") == ("asOf" in node),
    ),
    Rule(
        "spec.operation.join",
        "",
        "give right (one input) or sides (several small ones), one of the two",
        "has(self.right) != has(self.sides)",
        lambda node: given(node, "right", "sides") == 1,
    ),
    Rule(
        "spec.operation.join",
        "sides",
        "type, on, leftOn, rightOn, suffixes, nullsEqual and where are of each side; asOf is of none",
        BESIDE_SIDES_CEL,
        beside_sides,
    ),
    Rule(
        "spec.operation.join.sides[]",
        "",
        "give on, or leftOn and rightOn with as many columns each; a Cross join has no keys",
        JOIN_KEYS_CEL,
        join_keys,
    ),
    Rule(
        "spec.operation.join",
        "where",
        "an as-of join has no where; filter its inputs, or its result with output.filter",
        "!(has(self.where) && has(self.asOf))",
        lambda node: given(node, "where", "asOf") < 2,
    ),
    Rule(
        "spec.operation.distinct",
        "orderBy",
        "orderBy needs by: rows that agree in all columns have no order",
        "has(self.by) || !has(self.orderBy)",
        lambda node: "by" in node or "orderBy" not in node,
    ),
    Rule(
        "spec.operation.window",
        "by",
        "by is needed: rows that agree in these columns are one window. For one window of all rows, which one worker "
        'works on and writes to one file, give them a column that is the same for all: inputs[0].compute: {all: "1"} '
        "and by: [all]",
        "has(self.by)",
        lambda node: "by" in node,
    ),
    Rule(
        "spec.operation.groupBy",
        "",
        "give exactly one of aggregations and apply",
        "has(self.aggregations) != has(self.apply)",
        lambda node: given(node, "aggregations", "apply") == 1,
    ),
    Rule(
        "spec.operation.groupBy",
        "schema",
        "schema says what apply returns; aggregations need none",
        "has(self.apply) || !has(self.schema)",
        lambda node: "apply" in node or "schema" not in node,
    ),
    Rule(
        "spec.operation.rechunk",
        "overlap",
        "overlap is what apply sees around a chunk, and dtype the type that it returns; give apply: module:function",
        "has(self.apply) || !(has(self.overlap) || has(self.dtype))",
        lambda node: "apply" in node or not given(node, "overlap", "dtype"),
    ),
    Rule(
        "spec.operation.groupBy.aggregations[]",
        "quantile",
        "quantile and approxQuantile need quantile (0 to 1), and no other function has it",
        "(self.__function__ == 'quantile' || self.__function__ == 'approxQuantile') == has(self.quantile)",
        lambda node: (node.get("function") in ("quantile", "approxQuantile")) == ("quantile" in node),
    ),
    Rule(
        "spec.operation.groupBy.aggregations[]",
        "with",
        "corr needs with (the other column), and no other function has it",
        "(self.__function__ == 'corr') == has(self.with)",
        lambda node: (node.get("function") == "corr") == ("with" in node),
    ),
    Rule(
        "spec.operation.groupBy.aggregations[]",
        "values",
        "largest and smallest need values (how many), and no other function has it",
        "(self.__function__ == 'largest' || self.__function__ == 'smallest') == has(self.values)",
        lambda node: (node.get("function") in ("largest", "smallest")) == ("values" in node),
    ),
    Rule(
        "spec.operation.groupBy.aggregations[]",
        "column",
        "every function but count and size needs a column, and size has none",
        "self.__function__ == 'count' || has(self.column) != (self.__function__ == 'size')",
        lambda node: node.get("function") == "count" or ("column" in node) != (node.get("function") == "size"),
    ),
    Rule(
        "spec.inputs[]",
        "",
        "give exactly one of path and paths",
        "has(self.path) != has(self.paths)",
        lambda node: given(node, "path", "paths") == 1,
    ),
    Rule(
        "spec.inputs[]",
        "nameAs",
        "nameAs needs name: it is what the column holds",
        "has(self.name) || !has(self.nameAs)",
        lambda node: "name" in node or "nameAs" not in node,
    ),
    Rule(
        "spec.inputs[]",
        "reader",
        "reader and format exclude each other: the function reads the files itself",
        "!(has(self.reader) && has(self.format))",
        lambda node: given(node, "reader", "format") < 2,
    ),
    Rule(
        "spec",
        "backend",
        "Gpu is for functions of your own (map, apply, reader), and this job has none; leave it out",
        "!has(self.backend) || self.backend != 'Gpu' || !self.inputs.all(i, !has(i.map) && !has(i.reader)) || "
        "(has(self.operation.groupBy) && has(self.operation.groupBy.apply)) || "
        "(has(self.operation.rechunk) && has(self.operation.rechunk.apply))",
        lambda spec: spec.get("backend") != "Gpu" or _calls_functions(spec),
    ),
    Rule(
        "spec.inputs[]",
        "mapSchema",
        "goes with map: it names the columns that the function returns",
        "!has(self.mapSchema) || has(self.map)",
        lambda node: "map" in node or "mapSchema" not in node,
    ),
    Rule(
        "spec.output",
        "",
        "give partitions or targetPartitionSize, not both",
        "!(has(self.partitions) && has(self.targetPartitionSize))",
        lambda node: given(node, "partitions", "targetPartitionSize") < 2,
    ),
    Rule(
        "spec.functions.sources[]",
        "",
        "give exactly one of configMapRef and path",
        "has(self.configMapRef) != has(self.path)",
        lambda node: given(node, "configMapRef", "path") == 1,
    ),
    Rule(
        "spec.functions.sources[]",
        "",
        "sha256 and storage go with path",
        "has(self.path) || !(has(self.sha256) || has(self.storage))",
        lambda node: "path" in node or not given(node, "sha256", "storage"),
    ),
    Rule(
        "spec.workers",
        "replicas",
        "give replicas, or minReplicas and maxReplicas, not both",
        "!(has(self.replicas) && (has(self.minReplicas) || has(self.maxReplicas)))",
        lambda node: not ("replicas" in node and given(node, "minReplicas", "maxReplicas")),
    ),
    Rule(
        "spec.workers",
        "minReplicas",
        "minReplicas must not be more than maxReplicas",
        "!(has(self.minReplicas) && has(self.maxReplicas)) || self.minReplicas <= self.maxReplicas",
        _replica_range,
    ),
    Rule(
        "spec.workers.scratch",
        "",
        "medium: Memory and storageClassName exclude each other",
        "!(has(self.medium) && has(self.storageClassName))",
        lambda node: given(node, "medium", "storageClassName") < 2,
    ),
    Rule(
        "spec.workers.env[]",
        "",
        "give value or valueFrom, not both",
        "!(has(self.value) && has(self.valueFrom))",
        lambda node: given(node, "value", "valueFrom") < 2,
    ),
    Rule(
        "spec.workers.envFrom[]",
        "",
        "give exactly one of secretRef and configMapRef",
        "has(self.secretRef) != has(self.configMapRef)",
        lambda node: given(node, "secretRef", "configMapRef") == 1,
    ),
)

APART_CEL = (
    "self.inputs.all(i, !has(i.path) || ("
    "!(self.output.path + '/').startsWith(i.path + '/') && !(i.path + '/').startsWith(self.output.path + '/')"
    " && !(i.path.matches('/$') && (self.output.path + '/').startsWith(i.path))"
    " && !(self.output.path.matches('/$') && (i.path + '/').startsWith(self.output.path))))"
)
"""That no input is the output, inside it or around it: each folder, with a slash at its end, must not begin with the
other. Lists of paths, which would be dear for the server, globs, and other spellings of a path are left to paths.py."""
APART_MESSAGE = "the output must be neither an input nor inside one nor around one"

FROZEN = (
    "operation", "inputs", "output", "functions", "method", "backend", "recovery", "backoffLimit", "disruptionLimit",
    "startupDeadlineSeconds", "storageRetrySeconds", "podRetention", "managedBy",
)  # fmt: skip
"""Fields of the spec that cannot be changed."""
FROZEN_WORKERS_BUT = ("replicas",)
"""Fields of spec.workers that can be changed; all others cannot."""


def frozen_cel(name: str) -> str:
    """A transition rule: the field is what it was, or is still absent."""
    return f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"


def frozen_worker_cel(name: str) -> str:
    """The same for a field of spec.workers, which Kueue and people may change while the job is suspended. Where
    `workers` itself comes or goes there is nothing to compare; the operator decides then."""
    old, new = f"oldSelf.workers.{name}", f"self.workers.{name}"
    same = f"(has({new}) == has({old}) && (!has({new}) || {new} == {old}))"
    return f"(has(oldSelf.suspend) && oldSelf.suspend) || !has(self.workers) || !has(oldSelf.workers) || {same}"
