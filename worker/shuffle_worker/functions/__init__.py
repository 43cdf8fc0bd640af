"""Functions of the user's: finds their code, and calls it in a process of its own.

sources.py      makes code from a folder, a file, a zip or a wheel ready for import
load.py         finds the function that `package.module:function` names, or says where it looked
shapes.py       what a function takes, by its annotations
wire.py         frames between the worker and the process
child.py        the process: imports the function and calls it; nothing of the worker is in it
  channel.py      its end of the socket
  limits.py       its memory, its life, and what the worker sees without asking
  given.py        the function's arguments
  blocks.py       blocks of arrays, given and returned
  results.py      collects and sends what it returns
  returned.py     messages about results that are no table
  conform.py      brings a result to the declared columns, and loses nothing; objects.py: Python objects
  tracebacks.py   what it raised, in the user's own frames
host.py         the worker's side: feeds the process, watches its memory and time, survives its end
process.py      starts the process, ends it, and knows what it has used
failures.py     messages about calls that failed
pool.py         one process for each lease at work, kept for the next lease
mapping.py      the calls of an input's `map`

User code never runs in the worker's own process. It may block, crash, exit or take all memory, and the worker survives
to report it. Only `child.py` imports user code, and pandas only if the function takes data frames.
"""
