"""Functions over the rows around each row: numbers, ranks, neighbours, totals of frames, sessions.

typed.py        text to calls of these functions         frames.py       which rows a frame has
numbering.py    picks.py    totals.py    extremes.py    sessions.py      what each function gives
rows.py         rows in order, with the columns that are computed of them
blocks.py       where windows and peers begin and end    stores.py       what must be kept, in memory or on scratch
sums.py         sums of frames out of running sums       distances.py    how far rows are apart in their order

Each function takes in the rows of a window in their order, one time, and then gives its results block by block. What it
keeps between the two lies in memory where whole windows fit, and on scratch where one does not; it is the same code for
both. Nothing depends on how rows were cut into blocks: sums are exact until they are rounded once.
"""
