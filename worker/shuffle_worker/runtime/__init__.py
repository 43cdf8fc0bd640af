"""The process and its machine. Knows no data.

settings.py  what it is started with       environment.py  variables, addresses
cgroup.py    the memory that is there      pressure.py     what happens near its limit; heap.py: one allocator
importing.py how libraries are imported
scratch.py   room for what is spilled      owner.py        which process a run belongs to
"""
