"""The API server is away, or slow: jobs go on, nothing is restarted for it, and what was to be told is told later."""

from __future__ import annotations

import asyncio
import itertools

import aiohttp
import pytest

from shuffle_operator.handlers import queue, recorder, watch
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.recorder import Recorder
from shuffle_operator.handlers.watch import Backoffs
from shuffle_operator.kube.api import EVENTS, JOBS, KubeError, Object, Resource
from tests.operator.fake_kube import FakeKube
from tests.operator.puppets import Puppets
from tests.operator.small_jobs import job, patch, until_phase, until_ready
from tests.operator.stage import NAMESPACE, Stage

AWAY = KubeError(0, "Unreachable", "the API server does not answer: timed out")
BUSY = KubeError(503, "ServiceUnavailable", "the server is currently unable to handle the request")


async def probe(stage: Stage, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(stage.address + path) as answer:
        return answer.status, await answer.text()


async def test_an_api_server_that_is_away_is_no_reason_to_restart(stage: Stage, puppets: Puppets) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    stage.kube.down = AWAY
    operator = stage.operator
    assert operator is not None
    puppets.hold.set()
    await stage.until(lambda: operator.watch.silent > 0)
    operator.watch.heard -= 3600.0
    assert await probe(stage, "/healthz") == (200, "ok")
    status, text = await probe(stage, "/readyz")
    assert status == 503
    assert "the API server has not answered for" in text
    assert "timed out" in text
    assert "shuffle_api_silence_seconds 0.0\n" not in operator.metrics.page().decode()
    stage.kube.down = None
    await until_phase(stage, "Complete")
    await stage.until(lambda: operator.watch.silent == 0)
    assert (await probe(stage, "/readyz"))[0] == 200
    await stage.until(lambda: {"Started", "Transferring", "Writing", "Completed"} <= set(stage.events()))


async def test_a_slow_pass_is_not_a_stuck_one() -> None:
    now, going = [0.0], asyncio.Event()

    async def work(_: str) -> float | None:
        await going.wait()
        return None

    made = queue.WorkQueue(work, clock=lambda: now[0])
    made.wake("a")
    await asyncio.sleep(0.01)
    made.wake("a")  # news while the pass is at work
    now[0] = 500.0
    assert made.oldest == 0.0
    going.set()
    await made.close()


async def test_a_pass_that_never_ends_is_broken_off_and_tried_again() -> None:
    passes: list[int] = []

    async def work(_: str) -> float | None:
        passes.append(1)
        if len(passes) == 1:
            await asyncio.Event().wait()
        return None

    made = queue.WorkQueue(work, longest=0.05)
    made.wake("a")
    await asyncio.sleep(1.2)
    assert len(passes) == 2
    await made.close()


async def test_nothing_waits_for_less_than_no_time() -> None:
    made = queue.WorkQueue(lambda _: asyncio.sleep(0, None))
    made.wake("a", after=60.0)
    assert made.oldest == 0.0
    await made.close()


def test_kopf_is_given_pauses_without_end() -> None:
    """With an end it raises after some, which takes the whole operator down."""
    given = list(itertools.islice(Backoffs(), 1000))
    assert given[:2] == [0.5, 1.0]
    assert given[-1] == 10.0
    assert not hasattr(Backoffs(), "__len__")


@pytest.mark.parametrize(
    ("status", "unanswered", "may_mend"),
    [
        (0, True, True),
        (400, False, False),
        (403, False, False),
        (404, False, False),
        (408, True, True),
        (409, False, False),
        (422, False, False),
        (429, False, True),
        (500, False, True),
        (502, True, True),
        (503, True, True),
        (504, True, True),
    ],
)
async def test_which_errors_are_no_answer(status: int, unanswered: bool, may_mend: bool) -> None:
    error = KubeError(status, "Reason", "said")
    assert (error.unanswered, error.may_mend) == (unanswered, may_mend)
    seen = watch.Watch(Cache(lambda _: None), FakeKube(), ["a"])
    seen.unanswered(error)
    assert bool(seen.trouble) == unanswered


# -- events ----------------------------------------------------------------------------------------------------------


def about(uid: str, namespace: str = NAMESPACE) -> Object:
    return {"metadata": {"uid": uid, "name": uid, "namespace": namespace}}


def told(kube: FakeKube) -> list[str]:
    found = sorted((key[2], body["reason"]) for key, body in kube.objects.items() if key[0] == EVENTS)
    return [reason for _, reason in found]


@pytest.mark.parametrize("error", [AWAY, BUSY, KubeError(429, "TooManyRequests", "slow down")], ids=str)
async def test_events_come_after_an_outage_and_in_order(error: KubeError) -> None:
    kube, now = FakeKube(), [0.0]
    made = Recorder(kube, clock=lambda: now[0])
    running = asyncio.create_task(made.run())
    kube.refusals["create", EVENTS] = error
    for reason in ("First", "Second", "Third"):
        made.tell(about("a"), reason, "said")
    await asyncio.sleep(0.05)
    assert told(kube) == []
    del kube.refusals["create", EVENTS]
    now[0] = 60.0
    made.tell(about("a"), "Fourth", "said")  # which wakes it; in life the pause ends
    await asyncio.sleep(0.05)
    assert told(kube) == ["First", "Second", "Third", "Fourth"]
    assert made.dropped == 0
    running.cancel()


async def test_events_that_are_refused_for_good_are_counted_and_may_be_told_again() -> None:
    kube = FakeKube()
    made = Recorder(kube)
    running = asyncio.create_task(made.run())
    kube.refusals["create", EVENTS] = KubeError(403, "Forbidden", "events is forbidden")
    made.tell(about("a"), "First", "said")
    await asyncio.sleep(0.05)
    assert (made.dropped, made.waiting) == (1, 0)
    del kube.refusals["create", EVENTS]
    made.tell(about("a"), "First", "said")
    made.tell(about("a"), "First", "said")
    await asyncio.sleep(0.05)
    assert told(kube) == ["First"]
    running.cancel()


async def test_an_outage_that_does_not_end_drops_events_after_a_while() -> None:
    kube, now = FakeKube(), [0.0]
    made = Recorder(kube, clock=lambda: now[0])
    running = asyncio.create_task(made.run())
    kube.refusals["create", EVENTS] = BUSY
    made.tell(about("a"), "First", "said")
    await asyncio.sleep(0.05)
    now[0] = 2000.0
    made.tell(about("b"), "Second", "said")
    await asyncio.sleep(0.05)
    assert (made.dropped, made.waiting) == (1, 1)
    running.cancel()


async def test_a_namespace_that_takes_no_events_does_not_keep_those_of_others() -> None:
    class Half(FakeKube):
        async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
            if namespace == "bad":
                raise BUSY
            return await super().create(resource, namespace, body)

    kube = Half()
    made = Recorder(kube)
    running = asyncio.create_task(made.run())
    made.tell(about("a", "bad"), "Kept", "said")
    made.tell(about("b"), "Told", "said")
    await asyncio.sleep(0.05)
    assert told(kube) == ["Told"]
    assert made.waiting == 1
    running.cancel()


class Slow(FakeKube):
    """Namespaces that begin with `slow` do not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.open = self.most = 0

    async def create(self, resource: Resource, namespace: str, body: Object) -> Object:
        if not namespace.startswith("slow"):
            return await super().create(resource, namespace, body)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.Event().wait()
        finally:
            self.open -= 1
        raise AssertionError


async def test_a_namespace_that_is_slow_does_not_hold_up_the_others() -> None:
    kube = Slow()
    made = Recorder(kube)
    running = asyncio.create_task(made.run())
    made.tell(about("a", "slow"), "Kept", "said")
    await asyncio.sleep(0.02)
    for reason in ("First", "Second", "Third"):
        made.tell(about("b"), reason, "said")
    await asyncio.sleep(0.05)
    assert told(kube) == ["First", "Second", "Third"]
    assert made.waiting == 1
    running.cancel()


async def test_events_are_written_for_so_many_namespaces_at_a_time() -> None:
    kube = Slow()
    made = Recorder(kube)
    running = asyncio.create_task(made.run())
    for number in range(3 * recorder.AT_ONCE):
        made.tell(about(str(number), f"slow-{number}"), "Kept", "said")
    await asyncio.sleep(0.05)
    assert kube.most == recorder.AT_ONCE
    running.cancel()
    await asyncio.wait([running])
    assert kube.open == 0


async def test_an_event_whose_answer_was_lost_is_told_once(stage: Stage, puppets: Puppets) -> None:
    kube, lost = FakeKube(), []

    def fault(_number: int, done: bool) -> None:
        if done and not lost:
            lost.append(1)
            raise AWAY

    kube.fault = fault
    now = [0.0]
    made = Recorder(kube, clock=lambda: now[0])
    running = asyncio.create_task(made.run())
    made.tell(about("a"), "First", "said")
    await asyncio.sleep(0.05)
    now[0] = 60.0
    made.tell(about("a"), "Second", "said")
    await asyncio.sleep(0.05)
    assert told(kube) == ["First", "Second"]
    running.cancel()


async def test_how_a_job_ended_is_said_by_one_event(stage: Stage, puppets: Puppets) -> None:
    await stage.submit(job())
    await until_phase(stage, "Complete")
    await stage.until(lambda: "Completed" in stage.events())
    assert "Complete" not in stage.events()
    names = sorted(name for kind, _, name in stage.kube.objects if kind == EVENTS)
    order = [stage.kube.objects[EVENTS, NAMESPACE, name]["reason"] for name in names]
    assert order.index("Started") < order.index("Transferring") < order.index("Committing") < order.index("Completed")


async def test_a_job_that_is_changed_while_the_server_is_away_is_seen_to_afterwards(
    stage: Stage, puppets: Puppets
) -> None:
    puppets.hold.clear()
    await stage.submit(job())
    await until_ready(stage)
    stage.kube.down = BUSY
    await asyncio.sleep(0.5)
    stage.kube.down = None
    await patch(stage, suspend=True)
    puppets.hold.set()
    await until_phase(stage, "Suspended")
    assert (JOBS, NAMESPACE, "sorted") in stage.kube.objects


# -- rights ----------------------------------------------------------------------------------------------------------


class Closed(FakeKube):
    """closed: namespaces in which nothing may be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: set[str] = set()

    async def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[Object]:
        if namespace in self.closed:
            raise KubeError(403, "Forbidden", f"cannot list {resource.plural} in the namespace {namespace}")
        return await super().list(resource, namespace, labels)


async def test_a_namespace_without_rights_does_not_keep_the_others_from_being_served() -> None:
    kube = Closed()
    now = [0.0]
    cache = Cache(lambda _: None, lambda: now[0])
    seen = watch.Watch(cache, kube, ["a", "b"])
    for namespace in ("a", "b"):
        await kube.create(JOBS, namespace, {"metadata": {"name": "x"}})
    kube.closed = {"b"}
    await seen.relist()
    assert seen.refused == {"b"}
    assert len(cache.jobs()) == 1
    kube.closed = set()
    await seen.relist()
    assert len(cache.jobs()) == 2
    now[0] = 1000.0
    kube.closed = {"b"}
    await seen.relist()
    assert len(cache.jobs()) == 2  # it is not known to be gone
    kube.closed = {"a", "b"}
    with pytest.raises(KubeError, match="cannot list"):
        await seen.relist()
