"""What operations are made of: rows to shards (the map side), shards to files (the reduce side).

operation.py    what an operation is                       planning.py  what it decides while a job is planned
splitter.py     map side: rows in, shards out              assign.py    which cell a row goes to
keyed.py        rows that travel with a key, and are sorted by it
shards.py       the bytes of a shard                       readback.py  shards back from the store
reduce.py       reduce side: buckets in, files out         cells.py     the same for several inputs side by side
sorting.py      a bucket in order                          external_sort.py  one that does not fit in memory
files.py        the output files of a partition            folders.py   one for each hive folder
accumulators.py   one row of all with equal keys: partial_aggregation.py before they are sent, final_aggregation.py when
                they have come
grouping.py     rows cut into what a function is called with
"""
