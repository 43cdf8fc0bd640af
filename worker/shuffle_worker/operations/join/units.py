"""Keys of a full join whose two sides are times of different units: the one key column has the finer unit, which holds
less far. What files say of their times decides while the job is planned whether it holds all of theirs; of files that
say nothing, or whose rows are filtered, the value itself does when it is written. Nothing is wrapped or rounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from shuffle_protocol.errors import DataError, InvalidSpec
from shuffle_worker.columns.arrow import NANOS, Array, Field
from shuffle_worker.columns.convert import convert
from shuffle_worker.inputs.planned import PlannedInput
from shuffle_worker.storage.failures import said

CURE = (
    "give the two keys different names and use leftOn and rightOn, so that each is a column by itself, or bring both "
    "to one unit in an earlier step"
)


def check_holds(field: Field, name: str, one: PlannedInput, where: str) -> None:
    """field: the merged key of the output. name: of the key in this input. Raises InvalidSpec."""
    found, common = one.schema.field(name).type, field.type
    both = pa.types.is_timestamp(found) and pa.types.is_timestamp(common)
    if found == common or not both or one.where is not None:
        return
    most = (2**63 - 1) * NANOS[common.unit]
    ranges = (one.files[group.file].row_groups[group.group].ranges.get(name) for group in one.row_groups)
    ends = [end for known in ranges if known is not None for end in (known.low, known.high) if isinstance(end, int)]
    if any(abs(end) > most for end in ends):
        raise InvalidSpec(
            f"{where}: {name!r} is {found} in one input, with times that {common}, its type in the other one, does not "
            f"hold, and the one key column of a full join must hold both; {CURE}"
        )


def merged(columns: Sequence[Array], field: Field, where: str) -> list[Array]:
    """Both sides' keys as the merged column. Raises DataError where a value does not fit."""
    try:
        return [convert(column, field.type) for column in columns]
    except pa.ArrowInvalid as error:
        kinds = " and ".join(dict.fromkeys(str(column.type) for column in columns))
        raise DataError(
            f"{where}: the key {field.name!r} is {kinds} in the two inputs and {field.type} in the output of the full "
            f"join, which does not hold a value ({said(error)}); {CURE}"
        ) from error
