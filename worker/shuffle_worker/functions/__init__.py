"""Functions of the user's own: where their code is found, and the process of their own in which they are called.

sources.py      code from a folder, a file, a zip or a wheel, made ready for import
load.py         `package.module:function` to the function, or to a message that says where it was looked for
shapes.py       what a function wants to be given and what it gave, by its annotations
conform.py      a result held to the declared columns, cast only where nothing is lost
wire.py         frames between the worker and that process
child.py        the process: imports the function and calls it, and nothing of the worker's is in it
tracebacks.py   what it raised, said in the user's own frames
host.py         the worker's side: starts the process, feeds it, watches its memory and its time, survives its end
pool.py         one process for each lease at work, kept for the next

User code never runs in the worker's own process: it may block, crash, leave or take all memory, and then the worker
says so. `child.py` is the only module here that imports it, and pandas only where the function asks for it.
"""
