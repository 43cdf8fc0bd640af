"""The demo's events, a few thousand of them, in the folder that the examples name."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
from tests.project import script

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = 3000
FILES = 3


@pytest.fixture(scope="session")
def make_events() -> ModuleType:
    """The demo's generator as a module."""
    return script("examples/demo/make_events.py")


@pytest.fixture(scope="session")
def demo(make_events: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the events below demo/events."""
    folder = tmp_path_factory.mktemp("project")
    events = folder / "demo" / "events"
    events.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_events, "ROWS", ROWS)
        for index in range(FILES):
            make_events.make(events, index, FILES)
    return folder


@pytest.fixture(scope="session")
def events(demo: Path) -> pa.Table:
    import pyarrow.parquet as pq

    return pa.concat_tables(pq.read_table(file) for file in sorted((demo / "demo" / "events").iterdir()))
