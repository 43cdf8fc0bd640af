"""Functions of the user's own: where their code is found, and the process of their own in which they are called.

sources.py      code from a folder, a file, a zip or a wheel, made ready for import
load.py         `package.module:function` to the function, or to a message that says where it was looked for
shapes.py       what a function wants to be given and what it gave, by its annotations
wire.py         frames between the worker and that process
child.py        the process: imports the function and calls it, and nothing of the worker's is in it
  channel.py      its end of the socket
  limits.py       its memory, its life, and what the worker sees of it without asking
  given.py        what the function is called with
  results.py      what it returned, gathered and sent
  returned.py     what that was, if it is no table
  conform.py      a result held to the declared columns, cast only where nothing is lost; objects.py: Python objects
  tracebacks.py   what it raised, said in the user's own frames
host.py         the worker's side: feeds the process, watches its memory and its time, survives its end
process.py      starts it, ends it, and knows what it has taken
failures.py     what became of a call, for people
pool.py         one process for each lease at work, kept for the next

User code never runs in the worker's own process: it may block, crash, leave or take all memory, and then the worker
says so. `child.py` is the only module here that imports it, and pandas only where the function asks for it.
"""
