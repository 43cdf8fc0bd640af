"""What a job's inputs are. Called while a job is planned.

listing.py   which files there are         reading.py   what they say of themselves, and one schema for all
table.py     an input worked out           planned.py   what is known of it then
union.py     several as one table
probe.py     a look at rows, for sizes     sample.py    boundaries of ranges
keys.py      keys, checked                 keyed.py     how many of them there may be
dictionaries.py  values of dictionaries    metadata/    what files say beside their rows
"""
