"""Arrow columns: their types, what they are converted to, one schema out of many. Knows no jobs and no formats.

arrow.py     pyarrow with types            arrays.py    columns as numbers
kinds.py     kinds of types                convert.py   types that travel
schema.py    a schema's columns, cast      unify.py     one schema out of many; zones.py: time zones
utf8.py      text that is none             uuids.py     UUIDs
type_names.py  types by name               hive.py      columns that folders spell out
"""
