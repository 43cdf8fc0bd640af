"""Grouping and aggregating as pure functions over record batches: no files, no network, no plan.

grouped.py   all groups of a bucket with their states    functions.py the states and results of each function
batches.py   some rows, their groups, their columns      sizes.py     sizes that do not depend on memory layout
counts.py    sums.py   decimals.py   extremes.py   moments.py   picks.py   values.py   smallest.py    the states

A *state* is what must be kept of a group to compute its results. Rows and other states update it strictly in the order
in which they come, one addition after the other. So a result depends on the order of the rows alone and never on how
they are cut into batches, which may therefore be as large as memory allows.
"""
