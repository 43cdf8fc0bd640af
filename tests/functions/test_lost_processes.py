"""A function that raises, crashes, leaves, takes all memory or never ends: the worker lives and says what happened."""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
from tests.functions.users import MIB, called, calling, module

from shuffle_worker.functions.host import Host, Trouble
from shuffle_worker.functions.process import Process, cpu_of_all


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    module(
        folder,
        "bad",
        """
        import ctypes, os, sys, signal, time

        def only(key, what):
            def call(table):
                if table["k"][0].as_py() == key:
                    what(table)
                return table
            return call

        def deep(table):
            raise ValueError("bad amount")

        def crash(table):
            ctypes.string_at(0)

        def leave(table):
            print("I am going")
            os._exit(3)

        def kill(table):
            os.kill(os.getpid(), signal.SIGKILL)

        def spin(table):
            while True:
                pass

        def gather(table):
            held = []
            while True:
                held.append(bytearray(1 << 20))

        def arrow(table):
            raise pa.ArrowInvalid("no such thing") from KeyError("x")

        raises, crashes, leaves = only(1, deep), only(1, crash), only(2, leave)
        spins, gathers, exits = only(1, spin), only(1, gather), only(0, lambda t: sys.exit("enough"))
        killed, arrows = only(1, kill), only(1, arrow)
        """,
    )
    return folder


def trouble(host: Host) -> Trouble:
    with pytest.raises(Trouble) as caught:
        called(host)
    return caught.value


def test_what_it_raises_is_told_in_its_own_frames_and_the_process_goes_on(bad: Path) -> None:
    with calling(bad, "bad:raises") as host:
        first = trouble(host)
        pid = host.pid
        assert first.kind == "raised"
        assert first.group == 1
        lines = first.message.splitlines()
        assert lines[0] == "ValueError: bad amount"
        assert [line.strip().partition(",")[0] for line in lines[1:]] == ["bad.py", "bad.py"]
        assert 'in deep: raise ValueError("bad amount")' in lines[-1]
        assert trouble(host).group == 1
        assert host.pid == pid


@pytest.mark.parametrize("at", [0, 1, 2])
def test_rows_that_cannot_be_given_are_those_of_their_own_group(tmp_path: Path, at: int) -> None:
    module(tmp_path, "frames", "import pandas as pd\ndef same(frame: pd.DataFrame): return frame\n")
    rows = pa.record_batch({"t": pa.array([7 if at == one else 0 for one in range(3)]).cast(pa.time64("ns"))})
    with calling(tmp_path, "frames:same", rows=rows.schema) as host, pytest.raises(Trouble) as caught:
        called(host, rows, [1, 2, 3])
    assert (caught.value.kind, caught.value.group) == ("given", at)


def test_a_cause_is_told_too(bad: Path) -> None:
    with calling(bad, "bad:arrows") as host:
        assert "caused by KeyError: 'x'" in trouble(host).message


def test_sys_exit_is_an_error_like_any_other(bad: Path) -> None:
    with calling(bad, "bad:exits") as host:
        found = trouble(host)
    assert (found.kind, found.group) == ("raised", 0)
    assert found.message.startswith("SystemExit: enough")


def test_a_crash_says_the_signal_and_the_line(bad: Path) -> None:
    with calling(bad, "bad:crashes") as host:
        found = trouble(host)
        assert (found.kind, found.group) == ("crashed", 1)
        assert "SIGSEGV" in found.message
        assert "bad.py" in found.message
        assert "in crash" in found.message
        assert trouble(host).group == 1  # in another process


def test_leaving_says_the_code_and_what_it_printed_last(bad: Path) -> None:
    with calling(bad, "bad:leaves") as host:
        found = trouble(host)
    assert (found.kind, found.group) == ("crashed", 2)
    assert "exit code 3" in found.message
    assert "I am going" in found.message


def test_killed_from_outside_is_told_apart(bad: Path) -> None:
    with calling(bad, "bad:killed") as host:
        assert trouble(host).kind == "killed"


def test_an_endless_loop_ends_with_its_time(bad: Path) -> None:
    with calling(bad, "bad:spins", seconds=1) as host:
        found = trouble(host)
    assert (found.kind, found.group) == ("time", 1)
    assert "longer than 1 s" in found.message
    assert "in spin" in found.message


def test_memory_ends_where_it_was_to_end(bad: Path) -> None:
    """What is free is the limit less what the interpreter has taken, and that differs from machine to machine: a limit
    of 100 MiB more leaves 100 MiB more free, but for the few MiB by which two starts differ."""
    free: list[int] = []
    for memory in (150 * MIB, 250 * MIB):
        with calling(bad, "bad:gathers", memory=memory) as host:
            found = trouble(host)
            assert (found.kind, found.group) == ("memory", 1)
            assert "MemoryError" in found.message
            assert 0 < host.free < memory
            free.append(host.free)
    assert abs(free[1] - free[0] - 100 * MIB) < 8 * MIB


def test_rows_that_do_not_fit_are_told(bad: Path, tmp_path: Path) -> None:
    module(tmp_path, "small", "def same(t): return t\n")
    few = pa.record_batch({"text": ["x"]})
    with calling(tmp_path, "small:same", rows=few.schema, memory=120 * MIB) as host:
        called(host, few, [1])
        wide = pa.record_batch(
            {"text": ["x" * (host.free + MIB)]}
        )  # what the interpreter takes is the machine's affair
        with pytest.raises(Trouble) as caught:
            called(host, wide, [1])
        assert caught.value.kind == "memory"


def test_what_it_prints_goes_to_the_log_and_no_further_than_its_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module(
        tmp_path,
        "loud",
        """
        import sys
        def loud(t):
            for at in range(3000):
                print("line", at)
                print("error", at, file=sys.stderr)
            return t
        """,
    )
    with caplog.at_level("INFO", "shuffle.function"), calling(tmp_path, "loud:loud") as host:
        called(host)
        output = host._open._output._thread
        host.close()
        output.join()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "loud:loud: line 0"
    assert "loud:loud: error 0" in lines
    assert len(lines) == 5001
    assert "what follows is not kept" in lines[-1]


def test_processes_that_it_started_go_with_it(tmp_path: Path) -> None:
    module(
        tmp_path,
        "parent",
        """
        import subprocess
        def start(t):
            pid = subprocess.Popen(["sleep", "600"]).pid
            return pa.table({"pid": [pid]})
        """,
    )
    with calling(tmp_path, "parent:start") as host:
        pids = called(host).column("pid").to_pylist()
    for pid in pids:
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"


def test_it_outlives_the_thread_that_called_it_first(tmp_path: Path) -> None:
    module(tmp_path, "same", "def same(t): return t\n")
    with calling(tmp_path, "same:same") as host:
        first = threading.Thread(target=called, args=(host,))
        first.start()
        first.join()
        pid = host.pid
        assert called(host).num_rows == 6
        assert host.pid == pid


def test_one_that_was_killed_while_idle_is_started_again(tmp_path: Path) -> None:
    module(tmp_path, "same", "def same(t): return t\n")
    with calling(tmp_path, "same:same") as host:
        called(host)
        os.kill(host.pid, 9)
        while not host._open.over:
            time.sleep(0.01)
        assert called(host).num_rows == 6


def test_a_crash_on_import_is_no_end_either(tmp_path: Path) -> None:
    module(tmp_path, "gone", "import os\nos._exit(7)\n")
    with calling(tmp_path, "gone:f") as host:
        found = trouble(host)
    assert "exit code 7" in found.message


def test_its_processor_time_is_known_while_it_lives_and_after(tmp_path: Path) -> None:
    module(
        tmp_path,
        "busy",
        """
        import time
        def burn(t):
            while time.process_time() < 1.0: pass
            return t
        """,
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    with calling(tmp_path, "busy:burn") as host:
        called(host)
        assert cpu_of_all() >= 0.95  # in ticks
    assert cpu_of_all() == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - ended.ru_utime - ended.ru_stime >= 0.95


def open_files() -> int:
    """Once the output of ended processes is read to its end: until then the thread that reads has it open."""
    for thread in threading.enumerate():
        if thread.name == "function-output":
            thread.join()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("broken", ["subprocess.Popen", "mmap.mmap", "os.ftruncate", "threading.Thread.start"])
def test_one_that_cannot_be_started_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    Process("warm:up").end()  # the thread that starts them is there from here on
    before = open_files()

    def fails(*_: object, **__: object) -> None:
        raise OSError("no more of it")

    with monkeypatch.context() as patch:
        patch.setattr(broken, fails)
        with pytest.raises(OSError, match="no more of it"):
            Process("not:there")
    assert open_files() == before


def test_one_that_was_ended_leaves_nothing_open() -> None:
    Process("warm:up").end()
    before = open_files()
    Process("not:there").end()
    assert open_files() == before
