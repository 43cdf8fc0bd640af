"""Grouping and aggregating as pure functions over record batches: no files, no network, no plan.

grouped.py   all groups of a bucket with their states    functions.py what a function of the API is made of
batches.py    some rows, their groups, their columns      sizes.py     how large something is, wherever it lies
counts.py    sums.py   decimals.py   extremes.py   moments.py   picks.py   values.py   smallest.py    the states

A *state* is what has to be kept of a group to work its results out. States are updated by rows and by other states,
strictly in the order in which these come, one addition after the other. So a result depends on the order of the rows
alone, and never on how they were cut into batches: which is what lets batches be as large as memory allows.
"""
