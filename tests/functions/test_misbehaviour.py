"""Functions that do what they should not: the others' groups come out right, or one sentence says what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.functions.users import MIB, ROWS, called, calling, module

from shuffle_worker.functions.host import Trouble

HEAD = """
import ctypes, os, signal, sys, threading, time, warnings
import numpy as np

def f(t):
"""
HARMLESS: dict[str, str] = {
    "prints without an end of line": "sys.stdout.write('x' * 100_000); return t",
    "prints what is no text": "os.write(1, bytes(range(256))); return t",
    "closes its output": "sys.stdout.close(); os.dup2(os.open('/dev/null', os.O_WRONLY), 2); return t",
    "reads standard input": "assert sys.stdin.read() == ''; return t",
    "changes the folder": "os.chdir('/'); return t",
    "changes the umask, the locale, the environment": "os.umask(0); os.environ.clear(); return t",
    "a thread goes on": "threading.Thread(target=time.sleep, args=(600,), daemon=True).start(); return t",
    "a thread that must be waited for goes on": "threading.Thread(target=time.sleep, args=(600,)).start(); return t",
    "a thread does the work": (
        "r = []; w = threading.Thread(target=lambda: r.append(t)); w.start(); w.join()\n    return r[0]"
    ),
    "forks, and the child leaves": "p = os.fork()\n    if not p: os._exit(0)\n    os.waitpid(p, 0); return t",
    "forks, and the child returns too": "os.fork(); return t",
    "forks, and the child raises": "p = os.fork()\n    if not p: raise ValueError('child')\n    return t",
    "forks, and the child calls sys.exit": "p = os.fork()\n    if not p: sys.exit(0)\n    return t",
    "uses a pool of processes": (
        "from multiprocessing import get_context\n"
        "    with get_context('fork').Pool(1) as p: assert p.map(abs, [-1]) == [1]\n    return t"
    ),
    "warns": "warnings.warn('careful'); return t",
    "turns the collector off": "import gc; gc.disable(); return t",
    "catches interrupts": "signal.signal(signal.SIGINT, signal.SIG_IGN); return t",
    "returns a view of what it was given": "return t.slice(0)",
    "returns batches of nothing": "yield t.slice(0, 0); yield t; yield t.slice(0, 0)",
    "makes a new process group": "os.setpgid(0, 0) if os.getpgrp() != os.getpid() else None; return t",
    "changes what it was given": (
        "d = t.to_pandas(); k = d['k'].to_numpy(copy=True); d['k'] = 7; d['k'] = k; return d"
    ),
    "writes into the memory of its rows": (
        "a = t['v'].chunk(0).to_numpy()\n    try: a[:] = 0\n    except ValueError: pass\n    return t"
    ),
    "gives many small tables": "yield from (t.slice(at, 1) for at in range(t.num_rows))",
    "has an index of its own": "d = t.to_pandas(); d.index = list('abcdef')[:len(d)]; return d",
    "has its columns in another order": "return t.select(['v', 'k'])",
    "has narrower types": "return t.cast(pa.schema({'k': pa.int8(), 'v': pa.float64()}))",
    "has dictionaries": "return t.set_column(0, 'k', t['k'].cast(pa.int64()).dictionary_encode())",
}
HARMFUL: dict[str, tuple[str, str, str]] = {
    "raises": ("raise ValueError('no')", "raised", "ValueError: no"),
    "raises what has no text": ("raise Exception", "raised", "Exception"),
    "raises what cannot be shown": (
        "class E(Exception):\n        def __str__(self): raise RuntimeError\n    raise E",
        "raised",
        "E",
    ),
    "raises what leaves when it is shown": (
        "class E(Exception):\n        def __str__(self): sys.exit(3)\n    raise E",
        "raised",
        "E",
    ),
    "raises text that is none": ("raise ValueError('half \\ud800')", "raised", "ValueError: half ?"),
    "raises what cannot be pickled": (
        "class E(Exception):\n        def __init__(self, a, b): self.call = lambda: a\n"
        "        def __reduce__(self): raise TypeError('no')\n    raise E(1, 2)",
        "raised",
        "E",
    ),
    "raises from what cannot be shown": (
        "class E(Exception):\n        def __str__(self): raise KeyboardInterrupt\n    raise ValueError('no') from E()",
        "raised",
        "ValueError: no",
    ),
    "raises what has no cause to tell": (
        "class E(Exception):\n        __cause__ = property(lambda self: sys.exit(3))\n    raise E('no')",
        "raised",
        "E",
    ),
    "raises many at once": (
        "raise ExceptionGroup('both', [ValueError('no'), KeyError('k')])",
        "raised",
        "ExceptionGroup: both",
    ),
    "raises what ends a generator": ("raise GeneratorExit('no')", "raised", "GeneratorExit: no"),
    "raises a MemoryError of its own": ("raise MemoryError('mine')", "memory", "MemoryError: mine"),
    "is interrupted in a generator": (
        "yield t\n    raise KeyboardInterrupt('stop')",
        "raised",
        "KeyboardInterrupt: stop",
    ),
    "leaves in a generator": ("yield t\n    sys.exit('enough')", "raised", "SystemExit: enough"),
    "goes too deep in a generator": ("yield t\n    yield from f(t)", "raised", "RecursionError"),
    "returns text that is none": ("return 'half \\ud800'", "differs", "it returned a str"),
    "an assertion fails": ("assert t is None", "raised", "AssertionError"),
    "goes too deep": ("return f(t)", "raised", "RecursionError"),
    "stops an iteration": ("raise StopIteration", "raised", "StopIteration"),
    "is interrupted": ("raise KeyboardInterrupt", "raised", "KeyboardInterrupt"),
    "leaves": ("sys.exit(3)", "raised", "SystemExit: 3; a function ends with `return`"),
    "leaves without a word": ("exit()", "raised", "SystemExit"),
    "raises in the middle": ("yield t\n    raise ValueError('later')", "raised", "ValueError: later"),
    "leaves at once": ("os._exit(0)", "crashed", "left with exit code 0 in the middle of the call"),
    "aborts": ("os.abort()", "crashed", "ended by SIGABRT; it was at\n  wild.py, line"),
    "breaks": ("ctypes.string_at(0)", "crashed", "ended by SIGSEGV; it was at\n  wild.py, line"),
    "is ended by an alarm": (
        "signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(60)",
        "crashed",
        "ended by SIGALRM",
    ),
    "is ended by a signal without a name": (
        "os.kill(os.getpid(), 40); time.sleep(60)",
        "crashed",
        "ended by signal 40",
    ),
    "closes everything": ("os.closerange(3, 100); return t", "crashed", "left with exit code"),
    "writes to every socket": (
        "[os.write(n, bytes([255]) * 64) for n in range(3, 64) if os.path.exists(f'/proc/self/fd/{n}')\n"
        "        and os.readlink(f'/proc/self/fd/{n}').startswith('socket:')]; time.sleep(600)",
        "crashed",
        "a frame of the unknown kind 255: something in its process wrote to the worker's socket",
    ),
    "hangs": ("time.sleep(600)", "time", "it ran longer than 1 s; it was at\n  wild.py, line"),
    "hangs in a generator": ("yield t\n    time.sleep(600)", "time", "it ran longer than 1 s"),
    "stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "time", "it ran longer than 1 s"),
    "takes all memory": ("x = [bytearray(1 << 20) for _ in range(10_000)]", "memory", "MemoryError"),
    "takes all memory for an array": ("np.ones(1 << 40)", "memory", "Unable to allocate"),
    "takes all memory for a result": (
        "return pa.table({'k': np.arange(1 << 26), 'v': np.zeros(1 << 26)})",
        "memory",
        "Unable to allocate",
    ),
    "returns nothing": ("pass", "differs", "it returned None"),
    "yields nothing": ("yield", "differs", "it yielded None"),
    "returns a coroutine": ("async def g(): pass\n    return g()", "differs", "it returned a coroutine"),
    "a column is missing": ("return t.select(['k'])", "differs", "'v' is missing"),
    "a column is too many": ("return t.append_column('w', t['k'])", "differs", "'w' (int64) is not expected"),
    "a column is there twice": ("return t.append_column('k', t['k'])", "differs", "'k' is there more than once"),
    "a column is called otherwise": (
        "return t.rename_columns(['k', 'V'])",
        "differs",
        "'v' is missing; 'V' (double) is not expected",
    ),
    "a column is of another type": (
        "return pa.table({'k': ['x'], 'v': [1.0]})",
        "differs",
        "'k' is string, expected int64",
    ),
    "a key is its index": ("return t.to_pandas().groupby('k').sum()", "differs", "the index 'k' is no column"),
    "a frame has objects": (
        "import pandas as pd; return pd.DataFrame({'k': [object()], 'v': [1.0]})",
        "differs",
        "'k' holds Python objects, expected int64",
    ),
}


def wild(folder: Path, body: str) -> None:
    module(folder, "wild", f"{HEAD}    {body}\n")


@pytest.mark.parametrize("what", HARMLESS)
def test_what_does_no_harm(tmp_path: Path, what: str) -> None:
    wild(tmp_path, HARMLESS[what])
    with calling(tmp_path, "wild:f", ROWS.schema, seconds=60) as host:
        for _ in range(2):
            assert called(host).to_pydict() == ROWS.to_pydict()


@pytest.mark.parametrize("what", HARMFUL)
def test_what_ends_the_call(tmp_path: Path, what: str) -> None:
    body, kind, message = HARMFUL[what]
    wild(tmp_path, body)
    seconds = 1 if kind == "time" else 60
    with calling(tmp_path, "wild:f", ROWS.schema, memory=300 * MIB, seconds=seconds) as host:
        with pytest.raises(Trouble) as caught:
            called(host)
        assert caught.value.kind == kind
        # a function that cuts the line goes on to its end: on one core that is often before the worker notices
        assert caught.value.group in ({0, -1} if what == "closes everything" else {0})
        assert message in caught.value.message


def test_what_it_was_given_is_its_own(tmp_path: Path) -> None:
    """A frame that is changed in place, and returned, is nobody else's."""
    module(
        tmp_path,
        "mine",
        """
        import pandas as pd
        kept = []
        def f(group: pd.DataFrame) -> pd.DataFrame:
            kept.append(group)
            for one in kept:
                one.loc[:, "v"] += 1.0
            return group
        """,
    )
    with calling(tmp_path, "mine:f", ROWS.schema) as host:
        found: dict[str, Any] = called(host).to_pydict()
    assert found == pa.table({"k": ROWS["k"], "v": [v + 1 for v in ROWS["v"].to_pylist()]}).to_pydict()
