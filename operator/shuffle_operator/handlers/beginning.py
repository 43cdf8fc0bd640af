"""From a resource to a job that runs: checked, its generation noted, its token made, its machine put together.

Each step before the machine is one that may fail for long: a quota or a webhook in the way of the job's Secret, say.
What fails is tried again with pauses that grow, the status and an event say what it is in Kubernetes' own words, and
`startupDeadlineSeconds` ends it. The generation that was noted is used however often a later step is tried.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from typing import Any

from shuffle_operator.api.problems import InvalidJob, Problem
from shuffle_operator.api.resolve import declared_memory
from shuffle_operator.api.restrictions import Restrictions, restriction_problems
from shuffle_operator.api.spec import ShuffleJob
from shuffle_operator.api.validation import check_job
from shuffle_operator.api.workers import DEFAULT_MEMORY
from shuffle_operator.coordinator.rebuild import EPOCHS
from shuffle_operator.handlers import accepted, policies, statuses
from shuffle_operator.handlers.active import ActiveJob, World, begin, message_of, take_up
from shuffle_operator.handlers.cache import Cache
from shuffle_operator.handlers.defects import Defects
from shuffle_operator.handlers.statuses import Outcome
from shuffle_operator.handlers.writer import StatusWriter
from shuffle_operator.kube.api import PODS, SECRETS, KubeError
from shuffle_operator.launchers.kubernetes import KILL_GRACE
from shuffle_operator.launchers.pauses import Pauses
from shuffle_operator.launchers.pod import (
    PodSettings,
    Trust,
    credential_problems,
    is_owned,
    secret_name,
    token_secret,
    trust_of,
    worker_pod,
)
from shuffle_operator.launchers.pod_state import is_live
from shuffle_operator.server.http import digest_of
from shuffle_protocol.jobs import Job
from shuffle_protocol.messages import Phase
from shuffle_protocol.units import counted, readable

log = logging.getLogger("shuffle.operator")

Object = dict[str, Any]


class CannotBegin(Exception):
    """A request that must come before the workers was refused. what: the beginning of the sentence for people."""

    def __init__(self, what: str, error: KubeError) -> None:
        super().__init__(f"{what}: {error.message}")
        self.message = f"{what}: {error.message}"
        self.error = error


@dataclass(slots=True)
class Beginning:
    """A job on its way."""

    since: float | None = None
    """When it was first refused, None before that and while the API server does not answer."""
    generation: int = -1
    """What was noted, -1 before that."""
    pauses: Pauses = field(default_factory=Pauses)
    defects: Defects = field(default_factory=Defects)


class Beginner:
    """`under_way`: the jobs that are being begun, by uid."""

    def __init__(self, world: World, cache: Cache, writer: StatusWriter, active: dict[str, ActiveJob]) -> None:
        self.world = world
        self.under_way: dict[str, Beginning] = {}
        self._cache = cache
        self._writer = writer
        self._active = active

    async def begin(self, body: Object) -> float | None:
        """Returns seconds until the next pass; 0.0 where the job runs, or is over. Raises KubeError."""
        uid = body["metadata"]["uid"]
        now = self.world.clock()
        way = self.under_way.setdefault(uid, Beginning())
        if way.pauses.left(now) > 0:
            return way.pauses.left(now)
        try:
            return await self._begin(body, way)
        except InvalidJob as error:
            return await self._refuse(body, "InvalidSpec", error.message)
        except CannotBegin as error:
            if error.error.unanswered:
                way.since = None  # no trouble of the job's: its time to start has not begun
                raise error.error from error
            return await self._hindered(body, way, error)
        except KubeError:
            raise
        except Exception as error:
            if not way.defects.add(error, now):
                raise
            log.exception("job %s cannot be begun", uid)
            return await self._refuse(body, "Internal", way.defects.sentence("starting the job"))

    def forget(self, uid: str) -> None:
        self.under_way.pop(uid, None)

    async def _begin(self, body: Object, way: Beginning) -> float | None:
        uid = body["metadata"]["uid"]
        body = as_accepted(body)
        job, message = checked(body, self.world.pods, self.world.restrictions)
        live = [p for p in self._cache.pods(uid).values() if is_owned(p, uid) and is_live(p)]
        trust = next((t for p in live if (t := trust_of(p)) is not None and self._is_ours(t, uid)), None)
        strangers = [p for p in live if trust_of(p) != trust or trust is None]
        noted: Object | None = body
        before = body.get("status") or {}
        if way.generation < 0 or policies.generation_of(body) != way.generation:
            generation = policies.next_generation(body)
            noted = await self.note_intent(body, generation)
            if noted is None:
                return None
            way.generation = generation
        assert noted is not None
        await self._dismiss(noted, strangers, trust)
        if trust is None:
            trust = await self._new_trust(noted)
        staying = len(live) - len(strangers)
        active = take_up(self.world, noted, job, message, trust, way.generation, staying)
        self._active[uid] = active
        active.launcher.observe(self._cache.pods(uid))
        begin(active)
        for pod in strangers:
            active.missed(index_of(pod) * active.per_pod, "it trusts the certificates of an earlier operator", None)
        self._miss(active, before, len(live))
        self._announce(active, noted, message, staying)
        self.forget(uid)
        return 0.0

    def _miss(self, active: ActiveJob, before: Object, live: int) -> None:
        """Count the pods that were lost while no operator was there. before: the status of then; live: pods that were
        found alive."""
        each = active.per_pod
        known = int((before.get("workers") or {}).get("ready") or 0) // each
        pods = [pod for pod in self._cache.pods(active.uid).values() if is_owned(pod, active.uid)]
        taken = {index_of(pod) for pod in pods if is_live(pod)}
        last = {index_of(pod): pod for pod in sorted(pods, key=_epoch) if not is_live(pod)}
        empty = [index for index in range(active.state.job.workers // each) if index not in taken]
        for index in sorted(empty, key=lambda index: index not in last)[: max(0, known - live)]:
            active.missed(index * each, "its pod went while no operator was there", last.get(index))

    def _announce(self, active: ActiveJob, noted: Object, message: Job, staying: int) -> None:
        tell, generation = self.world.recorder.tell, active.state.generation
        if generation == 0 or not policies.started_at(noted):
            together = f", {active.per_pod} in a pod" if active.per_pod > 1 else ""
            said = f"{counted(message.workers, 'worker')} of {readable(message.memory)} each{together}"
            tell(noted, "Started", said)
            return
        patience = active.state.settings.patience
        there = counted(staying * active.per_pod, "worker")
        waits = f"it waits up to {patience:.0f} s for the {there} there to say what they hold"
        if not staying:
            waits = "none of its workers is there, so they are started anew; what is written is kept"
        at = int(active.state.percent)
        tell(noted, "TakenOver", f"operator {generation + 1} of this job took it over at {at} %: {waits}")

    async def note_intent(self, body: Object, generation: int) -> Object | None:
        """The generation is written down before it is used. body: with the spec that was accepted, as has the resource
        that is returned. None where the job is gone."""
        before = body.get("status") or {}
        status = {key: value for key, value in before.items() if key != "conditions"}
        status |= {"phase": "Pending", "epoch": generation * EPOCHS}
        status |= {"specDigest": accepted.digest(body.get("spec") or {})}
        if generation == 0 or before.get("phase") == Phase.SUSPENDED:
            status["message"] = "Pending: starting workers"
        else:
            status["phase"] = before.get("phase", "Pending")
            status["message"] = f"{status['phase']}: a new operator takes the job over; its workers keep what they have"
        noted = await self._writer.write(body, statuses.with_conditions(status, body, None, self.world.wall()))
        return {**noted, "spec": body.get("spec") or {}} if noted is not None else None

    async def _hindered(self, body: Object, way: Beginning, error: CannotBegin) -> float | None:
        """Report what is in the way, and end the job when its time to start is over."""
        now = self.world.clock()
        body = self._cache.job(body["metadata"]["uid"]) or body
        limit = policies.settings_of(body, self.world.settings).startup_deadline
        since = way.since = now if way.since is None else way.since
        if now - since > limit:
            said = f"the job could not be started within startupDeadlineSeconds, {limit:.0f} s: {error.message}"
            return await self._refuse(body, "StartupDeadlineExceeded", said)
        pause = way.pauses.failed(now)
        self.world.line.forget(body["metadata"]["uid"])  # others need not wait for what is wrong here
        log.warning("%s/%s: %s", body["metadata"]["namespace"], body["metadata"]["name"], error.message)
        self.world.recorder.tell(body, "CannotStart", error.message, warning=True)
        await self._writer.say(body, error.message)
        return min(pause, max(0.1, since + limit - now))

    async def _refuse(self, body: Object, reason: str, message: str) -> float | None:
        """The job is over before it began; what an earlier operator started for it is removed."""
        body = self._cache.job(body["metadata"]["uid"]) or body
        status = {key: value for key, value in (body.get("status") or {}).items() if key != "conditions"}
        leaves = policies.was_started(body)
        await self._writer.conclude(body, status, Outcome(False, reason, message), leaves=leaves)
        self.forget(body["metadata"]["uid"])
        return 0.0

    # -- how workers and operator know each other --------------------------------------------------------------------

    def _is_ours(self, trust: Trust, uid: str) -> bool:
        """Whether workers would accept this operator as their coordinator. Workers that were started without TLS cannot
        change, and go on without it until the job is over."""
        authority = self.world.authority
        return not trust.authority or (authority is not None and trust.authority == authority.fingerprint(uid))

    async def _dismiss(self, body: Object, strangers: list[Object], trust: Trust | None) -> None:
        """Replace workers that would not talk to this operator, instead of letting them call for ever. trust: of those
        that stay."""
        if not strangers:
            return
        metadata = body["metadata"]
        uid, name, namespace = metadata["uid"], metadata["name"], metadata["namespace"]
        why = "whose seed is lost" if self.world.authority is not None else "which had TLS, as this one has not"
        who = f"{counted(len(strangers), 'worker')} {'is' if len(strangers) == 1 else 'are'} replaced"
        said = f"{who}, having trusted the certificates of an earlier operator, {why}; unwritten work is done again"
        self.world.recorder.tell(body, "AuthorityLost", said, warning=True)
        past = {t.authority for p in strangers if (t := trust_of(p)) is not None}
        try:
            for authority in past - ({trust.authority} if trust is not None else set()):
                await self.world.kube.delete(SECRETS, namespace, secret_name(name, uid, authority))
            for pod in strangers:
                found = pod["metadata"]
                await self.world.kube.delete(PODS, namespace, found["name"], uid=found["uid"], grace=KILL_GRACE)
        except KubeError as error:
            raise CannotBegin("workers of an earlier operator cannot be removed", error) from error

    async def _new_trust(self, body: Object) -> Trust:
        """Make the job's Secret: its token, and with TLS its certificates. A Secret that is there is from an earlier
        try, and nobody has read it."""
        uid, name, namespace = body["metadata"]["uid"], body["metadata"]["name"], body["metadata"]["namespace"]
        token, authority = secrets.token_urlsafe(32), self.world.authority
        fingerprint, certificates = "", {}
        if authority is not None:
            fingerprint, certificates = authority.fingerprint(uid), authority.for_workers(uid)
        secret = token_secret(name, uid, token, fingerprint, certificates)
        try:
            try:
                await self.world.kube.create(SECRETS, namespace, secret)
            except KubeError as error:
                if error.reason != "AlreadyExists":
                    raise
                await self.world.kube.delete(SECRETS, namespace, secret["metadata"]["name"])
                await self.world.kube.create(SECRETS, namespace, secret)
        except KubeError as error:
            raise CannotBegin("the Secret with the job's token cannot be created", error) from error
        return Trust(digest_of(token).hex(), fingerprint)


def as_accepted(body: Object) -> Object:
    """The resource with the spec that it was begun with. Raises InvalidJob where that is not known any more."""
    if policies.is_suspended(body):
        return body
    spec = accepted.accepted_of(body)
    if spec is None:
        said = (
            "the spec was changed while the job ran and no operator was there, so what it began with is not known; "
            "what it had written may be left. Delete the job and create it again"
        )
        raise InvalidJob([Problem(("spec",), said)], body["metadata"]["name"])
    return {**body, "spec": accepted.effective(spec, body.get("spec") or {})}


def index_of(pod: Object) -> int:
    """A pod's index by its name, 0 where it has none."""
    index = pod["metadata"]["name"].split("-")[-2]
    return int(index) if index.isdigit() else 0


def _epoch(pod: Object) -> int:
    epoch = pod["metadata"]["name"].rpartition("-")[2]
    return int(epoch) if epoch.isdigit() else 0


def checked(body: Object, settings: PodSettings, allowed: Restrictions) -> tuple[ShuffleJob, Job]:
    """Check everything that can be checked before anything is started. Raises InvalidJob."""
    job = check_job({key: value for key, value in body.items() if key != "status"})
    problems = [*credential_problems(job), *restriction_problems(job, allowed)]
    if problems:
        raise InvalidJob(problems, job.metadata.name)
    message = message_of(job, body["metadata"]["uid"])
    worker_pod(job, message.uid, 0, 0, declared_memory(job, DEFAULT_MEMORY), Trust(), settings)
    return job, message
