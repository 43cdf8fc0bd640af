"""Typed expressions, and what the operators make of them. Knows no text and no parser.

expression.py  the nodes             statistics.py  smallest and largest values of a row group
coercion.py    the type of two       written.py     literals, and the type of several
comparing.py   = < >                 moments.py     of times of two units
arithmetic.py  + - * / %             intervals.py   of dates and times with intervals
casts.py       CAST                  zones.py       AT TIME ZONE
literals.py    constants             clock.py, rows.py   times as numbers, values one by one
"""
