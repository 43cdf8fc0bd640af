"""Messages about failed calls: the function, the group and its partition, what happened, what to do.

A function that raises, returns a wrong table, crashes or takes too long fails the job at once, because another try
would end the same way. Only a call whose process was killed from outside is tried again, like the work of a lost
worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from shuffle_protocol.errors import Internal, InvalidSpec, JobError, OutOfMemory, UserFunctionFailed
from shuffle_protocol.jobs import Apply, Job
from shuffle_protocol.units import readable
from shuffle_worker.functions.host import Host, Trouble

FIELD = "operation.groupBy.apply"
MOST_VALUE = 60
MORE_MEMORY = "give functions more (spec.functions.memory, out of workers.resources.limits.memory)"
IN_PIECES = f"{MORE_MEMORY}, or take the group in pieces: annotate the parameter as Iterator[pa.RecordBatch]"


class CalledFunction(NamedTuple):
    """A function of the user's, as messages name it and the fields of the job that are about it."""

    field: str
    function: str
    schema_field: str
    """Where its columns are declared."""
    declared: bool
    """They are."""
    seconds_field: str
    """What limits its time."""
    cure: str
    """Where its memory does not suffice."""
    parts: str = "groups"
    """What it is called for."""


def called_by_apply(apply: Apply) -> CalledFunction:
    where = "operation.groupBy"
    declared = apply.schema is not None
    return CalledFunction(FIELD, apply.function, f"{where}.schema", declared, f"{where}.timeoutSeconds", IN_PIECES)


def called_by_map(job: Job, number: int) -> CalledFunction:
    """number: of the input."""
    one, where = job.inputs[number], f"inputs[{number}]"
    declared = one.map_schema is not None
    return CalledFunction(
        f"{where}.map", one.map, f"{where}.mapSchema", declared, "spec.functions.timeoutSeconds", MORE_MEMORY, "batches"
    )


class Named(NamedTuple):
    """A group."""

    keys: Sequence[str]
    """Names of its key columns; empty for a whole partition."""
    first: pa.RecordBatch
    """Rows that begin with the group's first one."""
    partition: int
    rows: int | None
    """How many rows it has; None if that is not known."""
    more: bool = False
    """The group has more than `rows` rows."""
    sample: bool = False
    """The group comes from a sample and may not be whole."""

    def __str__(self) -> str:
        key = ", ".join(f"{name} = {_value(self.first.column(name))}" for name in self.keys)
        parts = [f"key {key}"] if key else []
        if self.rows is not None:
            parts.append(f"{'more than ' if self.more else ''}{self.rows:,} row{'s' if self.rows != 1 else ''}")
        where = "in a sample, while planning" if self.sample else f"partition {self.partition}"
        return ", ".join([*parts, where])

    def of(self, group: int) -> str:
        """As `told_to_people` wants it."""
        return str(self if group >= 0 else self._replace(keys=[], rows=None))


class Killed(UserFunctionFailed):
    """The process was killed from outside; the next one may live."""

    retry = True


def told_to_people(trouble: Trouble, name: Callable[[int], str], called: CalledFunction, memory: int) -> JobError:
    """The error for people. name: the rows of a group of the call, by its number; -1 for those of all."""

    def group() -> str:
        return name(trouble.group)

    if trouble.kind == "differs":
        against = "was declared" if called.declared else "it returned for a sample"
        advice = (
            f"return these columns, or change {called.schema_field}"
            if called.declared
            else f"declare its columns in {called.schema_field}"
        )
        first, _, _ = trouble.message.partition("\n")
        returned = f"{called.field}: {called.function} returned another table than {against}"
        return UserFunctionFailed(f"{returned}: {first}\n{group()}; {advice}")
    return failed_call(trouble, called.field, called.function, group, memory, called.cure, called.seconds_field)


def failed_call(
    trouble: Trouble,
    field: str,
    name: str,
    where: Callable[[], str],
    memory: int,
    cure: str,
    seconds_field: str = "",
) -> JobError:
    """The error for people of a call of any function, but for a result that is not as it should be ("differs"), of
    which each kind of function has words of its own. where: what it was called for; not asked where it was not called.
    memory: of its process. cure: where that does not suffice. seconds_field: what limits its time, if anything does."""
    first, _, frames = trouble.message.partition("\n")
    frames = f"\n{frames}" if frames else ""
    if trouble.kind == "load":
        return InvalidSpec(f"{field}: {first}{frames}")
    function = f"{field}: {name}"
    if trouble.kind == "raised":
        return UserFunctionFailed(f"{function} raised {first}\n{where()}{frames}")
    if trouble.kind == "given":
        return InvalidSpec(f"{function} cannot be given its rows: {first}\n{where()}")
    if trouble.kind == "memory":
        return OutOfMemory(
            f"{function} needs more memory than the {readable(memory)} that its process has: {first}\n"
            f"{where()}; {cure}{frames}"
        )
    if trouble.kind == "time":
        return UserFunctionFailed(f"{function} did not end: {first}\n{where()}; {seconds_field} allows more{frames}")
    if trouble.kind == "killed":
        return Killed(f"{function}: {first}\n{where()}")
    if trouble.kind == "crashed":
        return UserFunctionFailed(f"{function} crashed: {first}\n{where()}{frames}")
    return Internal(f"{function}: {trouble.message}")


def too_large(named: Named, apply: Apply, size: int, host: Host) -> JobError:
    """The error for a group that the function's process cannot hold."""
    return OutOfMemory(
        f"{FIELD}: a group is too large for {apply.function}, which is given it whole as {host.shape}: more than "
        f"{readable(size)} of rows, and its process has {readable(host.free)} for them\n{named}; {IN_PIECES}"
    )


def _value(column: pa.Array) -> str:  # type: ignore[type-arg]
    """The first value of a column, for people."""
    one = column.slice(0, 1)
    if one.null_count:
        return "null"
    try:
        text = str(one.cast(pa.large_string())[0])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        text = repr(one[0].as_py())
    if len(text) > MOST_VALUE:
        text = text[:MOST_VALUE] + "..."
    kind = one.type
    return repr(text) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else text
