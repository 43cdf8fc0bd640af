"""Workers that carry leases out in no time: the protocol is real, over HTTP, the work is made up."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path

import msgspec

from shuffle_operator.kube.api import PODS, SECRETS, Object, Resource
from shuffle_protocol.messages import (
    VERSION,
    Counters,
    Done,
    Lease,
    LeaseId,
    LeaseKind,
    Orders,
    PlanSummary,
    Register,
    Sync,
)
from shuffle_protocol.tls import Tls
from shuffle_worker.transfer.http import HttpControl
from shuffle_worker.transfer.transport import Over, Refused, Unreachable
from tests.operator.fake_kube import FakeKube

ROWS = 10
SUMMARY = PlanSummary("plan", [100] * 3, [1] * 2, 2, 1, 300, 30, 0, 0)


class Puppets:
    """A kubelet whose pods are tasks, one for each worker. hold: they wait before they work; they are registered all
    the same. waiting_reason: what they wait for while they hold their leases, "" where they work."""

    def __init__(self, kube: FakeKube, address: str, secure: str) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.waiting_reason = ""
        self.started: list[str] = []
        self.carried_out: list[LeaseKind] = []
        self._kube = kube
        self._address, self._secure = address, secure
        self._tasks: dict[str, asyncio.Task[None]] = {}
        kube.listeners.append(self.heard)

    def heard(self, kind: str, resource: Resource, body: Object) -> None:
        if resource != PODS:
            return
        name = body["metadata"]["name"]
        if kind == "ADDED":
            self.started.append(name)
            self._tasks[name] = asyncio.get_running_loop().create_task(self._run(body))
        elif (kind == "DELETED" or "deletionTimestamp" in body["metadata"]) and name in self._tasks:
            self.cancel(name)

    def end(self, name: str, code: int, reason: str = "Error", said: str = "the last line") -> None:
        """As if its process had ended. said: last."""
        self.cancel(name)
        self._say_ended(name, code, reason, said)

    def cancel(self, name: str) -> None:
        """Once: a second time would interrupt the closing of its connections."""
        task = self._tasks[name]
        if not task.cancelling():
            task.cancel()

    def _say_ended(self, name: str, code: int, reason: str, said: str = "the last line") -> None:
        state = {"terminated": {"exitCode": code, "reason": reason, "message": said}}
        phase = "Succeeded" if code == 0 else "Failed"
        self._kube.set_pod_status("data", name, phase=phase, containerStatuses=[{"name": "worker", "state": state}])

    async def _run(self, pod: Object) -> None:
        await asyncio.sleep(0)
        name = pod["metadata"]["name"]
        running = [{"name": "worker", "state": {"running": {}}}]
        self._kube.set_pod_status("data", name, phase="Running", containerStatuses=running)
        code = 0
        try:
            await self._work_all(pod)
        except Over:
            code = 0
        except Refused:
            code = 78
        except asyncio.CancelledError:
            body = self._kube.objects.get((PODS, "data", name))
            if body is not None and "deletionTimestamp" in body["metadata"]:
                self._kube.remove((PODS, "data", name))
            return
        self._say_ended(name, code, "Completed" if code == 0 else "Error")

    async def _work_all(self, pod: Object) -> None:
        """Every worker of the pod; the first that raises ends them all."""
        env = {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0]["env"]}
        uid, first = pod["metadata"]["uid"].replace("-", ""), int(env["SHUFFLE_WORKER"])
        count = int(env.get("SHUFFLE_WORKERS_HERE", "1"))
        names = [f"{uid}.{number}" for number in range(count)] if count > 1 else [uid]
        workers = [self._work(pod, env, first + number, name) for number, name in enumerate(names)]
        if len(workers) == 1:
            return await workers[0]
        tasks = [asyncio.ensure_future(work) for work in workers]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return None

    async def _work(self, pod: Object, env: dict[str, str], worker: int, incarnation: str) -> None:
        secret = next(v["secret"]["secretName"] for v in pod["spec"]["volumes"] if v["name"] == "token")
        while (SECRETS, "data", secret) not in self._kube.objects:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # as a kubelet does
        held = self._kube.objects[SECRETS, "data", secret]["stringData"]
        tls = _tls(held, env["SHUFFLE_JOB"]) if "SHUFFLE_TLS" in env else None
        address = self._address if tls is None else self._secure
        control = HttpControl(address, held["token"], env["SHUFFLE_JOB"], tls=tls)
        done: dict[LeaseId, Done] = {}
        holding: list[LeaseId] = []
        epoch = -1
        registered = False
        try:
            while True:
                with contextlib.suppress(Unreachable):
                    if not registered:
                        hello = Register(VERSION, worker, incarnation, f"127.0.0.1:{worker + 1}", 1, 1 << 29)
                        reply = await control.register(hello)
                        if not reply.accepted:
                            raise Refused(reply.message)
                        registered = True
                    orders: Orders = await control.sync(
                        Sync(
                            worker,
                            incarnation,
                            epoch,
                            holding,
                            list(done.values()),
                            [],
                            Counters(),
                            free=1,
                            waiting_reason=self.waiting_reason,
                        )
                    )
                    if orders.stop:
                        return
                    registered = orders.known
                    for lease in orders.acknowledged:
                        done.pop(lease, None)
                    if orders.view is not None:
                        epoch = orders.view.epoch
                    if self.waiting_reason:
                        holding = [given.id for given in orders.leases]
                        await asyncio.sleep(0.05)
                        continue
                    await self.hold.wait()
                    self.carried_out += [given.id.kind for given in orders.leases]
                    for given in orders.leases:
                        done.setdefault(given.id, carried_out(given))
                    holding = []
                await asyncio.sleep(0.01)
        finally:
            await control.close()

    def forget(self) -> None:
        """What is over."""
        self.started.clear()
        self.carried_out.clear()
        self._tasks = {name: task for name, task in self._tasks.items() if not task.done()}

    async def close(self) -> None:
        for name in self._tasks:
            self.cancel(name)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _tls(held: dict[str, str], job: str) -> Tls:
    """Of a job's Secret, which a kubelet shows as files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in held.items():
            Path(folder, name).write_text(content)
        return Tls(folder, job)


def carried_out(lease: Lease) -> Done:
    made = Done(lease.id)
    if lease.id.kind is LeaseKind.PLAN:
        return msgspec.structs.replace(made, plan=SUMMARY)
    if lease.id.kind is LeaseKind.TRANSFER:
        return msgspec.structs.replace(made, rows_read=ROWS, rows_moved=ROWS)
    if lease.id.kind is LeaseKind.WRITE:
        return msgspec.structs.replace(made, rows_moved=15, rows_written=15, bytes_written=15, files=1)
    if lease.id.kind is LeaseKind.COMMIT:
        return msgspec.structs.replace(made, output={"manifest": "/out/_manifest.json", "files": 2})
    return made
