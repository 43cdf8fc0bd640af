"""A job's certificates as its workers have them."""

from __future__ import annotations

from pathlib import Path

from shuffle_operator.tls.authority import Authority
from shuffle_protocol.tls import Tls

SEED = bytes(range(32))


def issued(folder: Path, job: str, seed: bytes = SEED) -> Tls:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in Authority(seed).for_workers(job).items():
        (folder / name).write_text(content, encoding="utf-8")
    return Tls(folder, job)
