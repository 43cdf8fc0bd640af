"""Arrays: chunks of one shape become chunks of another, by the same workers, store and recovery as tables.

grid.py      where chunks lie and which of them meet: integers only
record.py    the plan; persist.py: as a file
chunking.py  what a job's `chunks`, `shards` and `select` mean for an array
hierarchy.py what a store says of itself: every array's own document
source.py    an array of the input as that document describes it
looking.py   which chunks are in storage
metadata.py  Zarr's documents as the output has them
conversion.py an array's document in the other format of Zarr; fills.py: its fill values
consolidated.py  what is stale in consolidated metadata
planner.py   from a job and its input to the plan
layout.py    pieces, boxes, splits and groups; who owns what
slabs.py     what travels: a box of elements with its place
reader.py    input chunks to slabs
writer.py    slabs to output chunks
commit.py    the end of a job, either way
explain.py   what `shuffle explain` says; notes.py: what costs more than it needs to
work.py      all of it behind `work.Work`
coding.py    one array's chunks as bytes and as elements
steady.py    codecs whose bytes depend on the elements alone
fetch.py     files from and to storage
store.py     our storage as a Zarr store; codecs run in the thread that asks

Nothing here is imported by jobs on tables: Zarr costs them nothing.
"""
