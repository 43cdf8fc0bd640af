"""The plan on disk: the same bytes again, read back as it was, never mistaken for another's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.plan.jobs import job, numbers, plan_of, write

from shuffle_protocol.errors import InputNotFound, Internal
from shuffle_protocol.jobs import Repartition, Sort, SortKey
from shuffle_worker.output.names import plan_path
from shuffle_worker.plan.persist import decode, encode, fingerprint, load, save
from shuffle_worker.storage import LocalStorage

LOCAL = LocalStorage()


@pytest.mark.parametrize(
    "operation", [Repartition(by=["id"]), Sort(by=[SortKey("id", True)]), Repartition(range=["id"])]
)
def test_a_plan_comes_back_as_it_was(tmp_path: Path, operation: Repartition | Sort) -> None:
    write(tmp_path, {f"n={n}/f": numbers(100) for n in range(3)})
    one = job(tmp_path, operation, partitions=5, filter="n > 0", columns=["id"])
    plan = plan_of(one)
    save(plan, LOCAL)
    assert load(LOCAL, one, plan.summary.fingerprint) == plan
    first = LOCAL.read(plan_path(one.output.path, one.uid))
    LOCAL.remove([plan_path(one.output.path, one.uid)])
    save(plan_of(one), LOCAL)
    assert LOCAL.read(plan_path(one.output.path, one.uid)) == first


def test_the_fingerprint_is_of_what_will_be_done(tmp_path: Path) -> None:
    write(tmp_path, {"f": numbers(100)})
    one = job(tmp_path, Repartition(by=["id"]), partitions=4)
    plan = plan_of(one)
    same = msgspec.structs.replace(one, uid="other", name="other", workers=7)
    assert fingerprint(plan_of(same)) == plan.summary.fingerprint
    for other in (
        job(tmp_path, Repartition(by=["id"]), partitions=5),
        job(tmp_path, Repartition(), partitions=4),
        job(tmp_path, Repartition(by=["id"]), partitions=4, filter="id > 3"),
    ):
        assert plan_of(other).summary.fingerprint != plan.summary.fingerprint
    write(tmp_path, {"g": numbers(1)})
    assert plan_of(one).summary.fingerprint != plan.summary.fingerprint


def test_another_plan_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"f": numbers(100)})
    one = job(tmp_path)
    with pytest.raises(InputNotFound, match="plan"):
        load(LOCAL, one, "0")
    save(plan_of(one), LOCAL)
    with pytest.raises(Internal, match="is another job writing to this output"):
        load(LOCAL, one, "0123456789abcdef")


@pytest.mark.parametrize("damage", [b"", b"x", b"\x10" + bytes(7) + b"garbage", b"\xff" * 40])
def test_a_damaged_plan_is_said(tmp_path: Path, damage: bytes) -> None:
    one = job(tmp_path)
    LOCAL.put(plan_path(one.output.path, one.uid), damage)
    with pytest.raises(Internal, match="no plan that this version can read"):
        load(LOCAL, one, "0")


def test_many_splits_are_few_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shuffle_worker.plan.sizing.LEAST_SPLIT_BYTES", 1)
    monkeypatch.setattr("shuffle_worker.plan.sizing.WANTED_SPLITS", 10**9)
    write(tmp_path, {f"f{n}": numbers(1000) for n in range(5)}, row_group_size=1)
    plan = plan_of(job(tmp_path))
    assert len(plan.splits) == 5000
    data = encode(plan)
    assert len(data) < 200_000
    assert decode(data) == plan
