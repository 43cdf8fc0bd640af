"""What the tests of the operator start from: an operator without a cluster, puppets for its pods, a few files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shuffle_operator.coordinator.settings import Settings
from tests.operator.fake_kube import FakeKube
from tests.operator.puppets import Puppets
from tests.operator.stage import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """Waits are short, limits are the defaults."""
    made = Stage(FakeKube(), Settings(silence=5.0, patience=1.0, poll=2.0))
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def puppets(stage: Stage) -> AsyncIterator[Puppets]:
    await stage.start(kubelet=False)
    made = Puppets(stage.kube, stage.address, stage.secure)
    yield made
    await made.close()


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four small files."""
    folder = tmp_path_factory.mktemp("events")
    for number in range(4):
        ids = pa.array(range(number * 1000, number * 1000 + 1000), pa.int64())
        keys = pa.array([(i * 7919) % 1009 for i in range(1000)], pa.int32())
        pq.write_table(pa.table({"id": ids, "key": keys}), folder / f"{number}.parquet", row_group_size=250)
    return folder
