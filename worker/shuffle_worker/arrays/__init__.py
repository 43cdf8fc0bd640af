"""Arrays: chunks of one shape become chunks of another, with the same workers, store and recovery as tables.

grid.py      where chunks lie and which of them overlap: integers only
record.py    the plan; persist.py: as a file
chunking.py  what a job's `chunks`, `shards` and `select` mean for an array
hierarchy.py reads a store's metadata: every array's own document
source.py    an array of the input as its document describes it
looking.py   which chunks are in storage
metadata.py  Zarr's documents of the output
conversion.py an array's document in the other format of Zarr; fills.py: its fill values
consolidated.py  what is stale in consolidated metadata
planner.py   from a job and its input to the plan
layout.py    pieces, boxes, splits and groups; who owns what
halos.py     which arrays a function is called for, with which halo, and what it returns
frame.py     what the blocks of a box need, and the blocks cut out of it
calls.py     the calls
retyping.py  an array's document for elements of the type that is returned
drafts.py    an array while it is planned
slabs.py     what travels: a box of elements with its place
reader.py    input chunks to slabs
canvas.py    output chunks while they are put together
writer.py    slabs to output chunks
commit.py    commit and abort
explain.py   the answer of `shuffle explain`; notes.py: advice on what makes a rechunk slow
work.py      all of it as a `work.Work`
coding.py    one array's chunks as bytes and as elements
steady.py    codecs whose bytes depend on the elements alone
fetch.py     files from and to storage
store.py     our storage as a Zarr store; runs codecs in the calling thread

Jobs on tables import nothing of this, so Zarr costs them nothing.
"""
