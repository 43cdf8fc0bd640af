"""What is being made, for how long already, and about how long it still takes: for a person who waits.

Everything goes to standard error. Nothing is written after a program has failed, and the message of the failure ends
with the program's last line: the end of a log is the reason.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TextIO

from e2e.harness.process import ProgramFailed


@dataclass(frozen=True)
class Step:
    """what: in a few words. seconds: about how long it takes on two idle cores."""

    what: str
    seconds: float


@dataclass
class Progress:
    """Steps, begun one after another by `next`. every: seconds between two lines while a program says nothing."""

    steps: Sequence[Step]
    out: TextIO = field(default_factory=lambda: sys.stderr)
    clock: Callable[[], float] = time.monotonic
    every: float = 30
    _current: int = -1
    _began: float = 0
    _start: float | None = None

    def next(self) -> None:
        """Begins the next step."""
        self._current += 1
        self._began = self.clock()
        if self._start is None:
            self._start = self._began
        self.say(f"{self._name()}; {self.left()}")

    def say(self, text: str) -> None:
        """A line, after the time since the first step, in minutes and seconds."""
        minutes, seconds = divmod(int(self.clock() - (self._start or self.clock())), 60)
        self.out.write(f"{minutes:3}:{seconds:02}  {text}\n")
        self.out.flush()

    def left(self) -> str:
        """How long this step and the later ones take, roughly."""
        step = self.steps[self._current]
        rest = step.seconds - (self.clock() - self._began)
        later = sum(following.seconds for following in self.steps[self._current + 1 :])
        text = _roughly(max(rest, 0) + later)
        return f"{text} left" if rest >= 0 else f"longer than usual, then {_roughly(later)}"

    def run(self, command: Sequence[str | Path], *, timeout: float) -> str:
        """The program's standard output; what it says on standard error is passed on line by line.

        Raises ProgramFailed, whose message ends with the program's own last line, also after `timeout` seconds.
        """
        words = [str(word) for word in command]
        said: list[str] = []
        with (
            tempfile.TemporaryFile("w+") as output,
            subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE, text=True
            ) as process,
        ):
            reader = threading.Thread(target=self._pass_on, args=(process.stderr, said), daemon=True)
            reader.start()
            try:
                in_time = self._wait(process, timeout)
            finally:
                if process.poll() is None:
                    process.kill()
            process.wait()
            reader.join(timeout=5)  # something that it started may still hold the pipe
            output.seek(0)
            text = output.read()
        if not in_time:
            raise ProgramFailed(f"{' '.join(words)}: took longer than {timeout / 60:.0f} min")
        if process.returncode:
            raise ProgramFailed("\n".join([f"{' '.join(words)}: exit code {process.returncode}", text, *said]))
        return text

    def _wait(self, process: subprocess.Popen[str], timeout: float) -> bool:
        """Whether it ended in time."""
        deadline = self.clock() + timeout
        while (rest := deadline - self.clock()) > 0:
            try:
                process.wait(min(self.every, rest))
            except subprocess.TimeoutExpired:
                self.say(f"... {self._name()}: {_roughly(self.clock() - self._began)} so far; {self.left()}")
            else:
                return True
        return False

    def _pass_on(self, stream: IO[str], said: list[str]) -> None:
        for line in stream:
            said.append(line.rstrip())
            self.say(f"    {line.rstrip()}")

    def _name(self) -> str:
        return f"{self._current + 1} of {len(self.steps)}: {self.steps[self._current].what}"


def _roughly(seconds: float) -> str:
    return "less than a minute" if seconds < 45 else f"about {max(round(seconds / 60), 1)} min"
