"""The filter language (docs/filters.md): text to an expression with types, and what statistics of a file say of it.

sql.py       what is allowed               sql_types.py  each part's type; coercion.py: of two
expression.py  what is made of it          filter.py    a filter, compiled
literals.py, moments.py   constants        statistics.py  smallest and largest values of a row group
"""
