"""What addresses hide is shown nowhere: not in paths, and not in the sentences that name them."""

from __future__ import annotations

import msgspec
import pytest

from shuffle_operator.coordinator.events import Cancelled, WorkerGone
from shuffle_operator.history.redact import said, shown
from tests.history.test_recorder import recorded, told

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("s3://bucket/a/*.parquet", "s3://bucket/a/*.parquet"),
        ("/a/what?.csv", "/a/what?.csv"),
        (f"https://user:{SECRET}@host/a.csv", "https://host/a.csv"),
        (f"https://user:p@{SECRET}@host/a.csv", "https://host/a.csv"),
        (f"https://host/a.csv?sig={SECRET}", "https://host/a.csv?..."),
        (f"https://host/a.csv?x=1 {SECRET}", "https://host/a.csv?..."),
        ("s3://bucket/a@b.csv", "s3://bucket/a@b.csv"),
        ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
    ],
)
def test_paths(path: str, there: str) -> None:
    assert shown(path) == there


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("is l.a = r.b?", "is l.a = r.b?"),
        (f"reading https://h/a?sig={SECRET}: 403, is it there?", "reading https://h/a?...: 403, is it there?"),
        (f"'https://u:{SECRET}@h/a' is not there", "'https://h/a' is not there"),
        (f"a=https://u:{SECRET}@h,b=ftp://v:{SECRET}@i/x", "a=https://h,b=ftp://i/x"),
        (f"(https://h/a?{SECRET})", "(https://h/a?...)"),
        ("read abfs://c@h/x", "read abfs://c@h/x"),
    ],
)
def test_texts(text: str, there: str) -> None:
    assert said(text) == there


def test_no_text_of_a_history() -> None:
    address = f"https://user:{SECRET}@host/a.csv?sig={SECRET}"
    p, (one, _), recorder = recorded()
    p.did(p.machine.handle(WorkerGone(1, None, f"it could not read {address}", fault=True), p.now))
    one.ask()
    p.did(p.machine.handle(Cancelled("Cancelled", f"nobody needs {address}"), p.now))
    history = told(p, recorder)
    assert "https://host/a.csv?..." in history.progress.cause
    assert "https://host/a.csv?..." in history.losses.lost[0].why
    assert SECRET not in msgspec.json.encode(history).decode()
