"""The pages' token follows its file, as a Secret that is mounted changes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

from shuffle_operator.settings import dashboard_token
from shuffle_operator.web.access import LOOK_EVERY, ByTokenFile
from shuffle_protocol.errors import InvalidSpec
from tests.dashboard.test_server import TOKEN, Events, Shown, alone, served
from tests.history.test_updates import Page

NEXT = "the-token-that-comes-next"


@dataclass
class Mounted:
    """A Secret as the kubelet mounts it: a link to a folder of the version that holds now."""

    folder: Path
    now: float = 0.0
    versions: int = 0

    def put(self, token: str | None) -> None:
        self.versions += 1
        version = self.folder / f"..{self.versions}"
        version.mkdir()
        if token is not None:
            (version / "token").write_text(f"{token}\n")
        link = self.folder / "..next"
        link.symlink_to(version.name)
        link.rename(self.folder / "..data")
        self.now += LOOK_EVERY

    def access(self) -> ByTokenFile:
        token = self.folder / "token"
        token.symlink_to("..data/token")
        return ByTokenFile(lambda: dashboard_token(str(token)), lambda: self.now)


@pytest.fixture
def mounted(tmp_path: Path) -> Mounted:
    found = Mounted(tmp_path)
    found.put(TOKEN)
    return found


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_token_that_is_replaced_is_good_no_more(mounted: Mounted) -> None:
    async with served(Shown(), mounted.access()) as (session, _, address):

        async def status(token: str) -> int:
            return (await session.get(f"{address}/api/jobs", headers=bearer(token))).status

        assert (await status(TOKEN), await status(NEXT)) == (200, 401)
        mounted.put(NEXT)
        assert (await status(TOKEN), await status(NEXT)) == (401, 200)


async def test_pages_that_are_open_with_it_are_hung_up_on(mounted: Mounted) -> None:
    shown, page = Shown(), Page()
    async with served(shown, mounted.access()) as (session, server, address):
        events = Events(await session.get(f"{address}/api/jobs/one/events", headers=bearer(TOKEN)))
        await events.until_whole(page)
        mounted.put(NEXT)
        shown.histories["one"] = structs.replace(shown.histories["one"], refused=7)
        with pytest.raises((EOFError, aiohttp.ClientError)):
            await events.next()
        await alone(server)


@pytest.mark.parametrize(
    ("token", "about"), [("short", "5 characters"), ("", "0 characters"), (None, "cannot be read")]
)
async def test_a_file_without_a_token_changes_nothing_and_is_told_of_once(
    mounted: Mounted, token: str | None, about: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(Shown(), mounted.access()) as (session, _, address):
        with caplog.at_level(logging.ERROR, "shuffle.web"):
            for _ in range(3):
                mounted.put(token)
                assert (await session.get(f"{address}/api/jobs", headers=bearer(TOKEN))).status == 200
        (said,) = [record.getMessage() for record in caplog.records]
        assert about in said
        assert TOKEN not in said
        mounted.put(NEXT)
        assert (await session.get(f"{address}/api/jobs", headers=bearer(NEXT))).status == 200


def test_there_must_be_a_token_to_begin_with(mounted: Mounted) -> None:
    mounted.put("")
    with pytest.raises(InvalidSpec, match="0 characters"):
        mounted.access()
