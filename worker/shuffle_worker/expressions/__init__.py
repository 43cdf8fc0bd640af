"""The language of filters and of computed columns (docs/expressions.md, docs/filters.md): text to an expression with
types, and what statistics of a file say of it.

sql.py       what is allowed               sql_types.py  each part's type, with what typed/ and functions/ say of it
filter.py    a filter, compiled            value.py      a value, compiled
"""
