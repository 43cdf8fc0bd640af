"""Output as it lies in storage, of tables and arrays alike.

names.py     of files and folders          manifest.py  what is recorded of them
groups.py    records of groups             existing.py  output that is there already
claim.py     whose the folder is           folders.py   hive folders
storable.py  the types that a format can hold
"""
