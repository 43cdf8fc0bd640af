"""Arrow columns: their types, conversions, one schema out of many. Knows no jobs and no formats.

arrow.py     typed calls of pyarrow        arrays.py    columns as NumPy arrays
kinds.py     kinds of types                convert.py   transport types
schema.py    casts of a schema's columns   unify.py     one schema out of many; zones.py: time zones
utf8.py      text that is not UTF-8        uuids.py     UUIDs
type_names.py  types by name               hive.py      columns in the names of folders
"""
