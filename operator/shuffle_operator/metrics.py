"""What Prometheus reads: the names that controllers use by convention, and what is ours.

Counters of finished jobs stay when the jobs are gone; gauges are worked out when they are asked for. Nothing here has
a label that grows with jobs or workers.
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from shuffle_operator.api.status import REASONS

CONTROLLER = "shufflejob"
COMPLETED = "Completed"
PASS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
BARRIER_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 14400)
JOB_SECONDS = (5, 15, 60, 300, 900, 3600, 14400, 43200, 86400)


class WorkSums(NamedTuple):
    """Sums over jobs, as far as they were carried out under this operator. Each begins at 0 with the process, as
    Prometheus expects of a counter."""

    bytes: Count[str]
    """By what became of them."""
    rows: Count[str]
    """By step."""
    lost: Count[str]
    """Workers, by kind: failure, disruption."""
    redone: Count[str]
    """Splits that were due again, by how: read, resent."""
    store: Count[str]
    """`outages` of stores, and `seconds` for which workers waited for them."""

    @classmethod
    def none(cls) -> WorkSums:
        return cls(*(Count() for _ in cls._fields))

    def update(self, other: WorkSums) -> None:
        for mine, theirs in zip(self, other, strict=True):
            mine.update(theirs)


class Began(NamedTuple):
    """How a job began, in seconds; None where it is not known, because another operator saw it."""

    queued: float | None
    """From its creation until it was its turn."""
    first_worker: float | None
    """From then until its first worker was there."""
    barrier: float | None
    """From its plan until all rows had arrived."""


class Readings(NamedTuple):
    """What is worked out at the moment when somebody asks for the metrics."""

    phases: Callable[[], Count[str]]
    """Jobs by phase."""
    work: Callable[[], WorkSums]
    """What the jobs that run have done so far."""
    requests: Callable[[], Count[tuple[str, str]]]
    """Requests to the API server by (method, status)."""
    depth: Callable[[], int]
    """Passes that are due."""
    oldest: Callable[[], float]
    """Seconds that the first of these has waited."""
    refused: Callable[[], int]
    """Calls without a job's token."""
    silent: Callable[[], float]
    """Seconds for which the API server has not answered."""
    dropped: Callable[[], int]
    """Events that Kubernetes did not take."""


class Metrics:
    def __init__(self, readings: Readings) -> None:
        self.registry = CollectorRegistry()
        self._readings = readings
        self._done = WorkSums.none()
        self._reconciles = Counter(
            "controller_runtime_reconcile", "Passes over a job.", ["controller", "result"], registry=self.registry
        )
        self._took = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Length of a pass.",
            ["controller"],
            buckets=PASS_SECONDS,
            registry=self.registry,
        )
        self._adds = Counter("workqueue_adds", "Passes asked for.", ["name"], registry=self.registry)
        self._waited = Histogram(
            "workqueue_queue_duration_seconds",
            "How long a pass that was due waited.",
            ["name"],
            buckets=PASS_SECONDS,
            registry=self.registry,
        )
        depth_gauge = Gauge("workqueue_depth", "Passes that are due.", ["name"], registry=self.registry)
        depth_gauge.labels(CONTROLLER).set_function(readings.depth)
        oldest_gauge = Gauge(
            "workqueue_longest_waiting_processor_seconds",
            "The pass that waits longest.",
            ["name"],
            registry=self.registry,
        )
        oldest_gauge.labels(CONTROLLER).set_function(readings.oldest)
        silence = Gauge(
            "shuffle_api_silence_seconds", "For how long the API server has not answered.", registry=self.registry
        )
        silence.set_function(readings.silent)
        self.loop_lag = Gauge(
            "shuffle_loop_lag_seconds", "The longest that the event loop was held up lately.", registry=self.registry
        )
        self.barrier_wait = Histogram(
            "shuffle_barrier_wait_seconds",
            "From a job's plan until all of its rows had arrived.",
            buckets=BARRIER_SECONDS,
            registry=self.registry,
        )
        self._finished = Counter(
            "shuffle_jobs_finished",
            "Jobs that ended, by the reason in their status.",
            ["reason"],
            registry=self.registry,
        )
        for reason in REASONS:
            self._finished.labels(reason)  # a counter that is not there yet cannot be seen to rise
        self._duration = Histogram(
            "shuffle_job_duration_seconds",
            "From a job's start to its end, by result.",
            ["result"],
            buckets=JOB_SECONDS,
            registry=self.registry,
        )
        self._queued = Histogram(
            "shuffle_job_queued_seconds",
            "From a job's creation until it was its turn.",
            buckets=JOB_SECONDS,
            registry=self.registry,
        )
        self._first_worker = Histogram(
            "shuffle_job_first_worker_seconds",
            "From a job's turn until its first worker was there.",
            buckets=JOB_SECONDS,
            registry=self.registry,
        )
        self.registry.register(_Later(self._collect))

    # -- handlers.queue.Watcher --------------------------------------------------------------------------------------

    def added(self) -> None:
        self._adds.labels(CONTROLLER).inc()

    def began(self, waited: float) -> None:
        self._waited.labels(CONTROLLER).observe(max(0.0, waited))

    def ended(self, took: float, failed: bool) -> None:
        self._reconciles.labels(CONTROLLER, "error" if failed else "success").inc()
        self._took.labels(CONTROLLER).observe(took)

    # -- jobs --------------------------------------------------------------------------------------------------------

    def let_go(self, work: WorkSums, began: Began) -> None:
        """A job is let go of: what it did counts on."""
        for histogram, seconds in (
            (self._queued, began.queued),
            (self._first_worker, began.first_worker),
            (self.barrier_wait, began.barrier),
        ):
            if seconds is not None:
                histogram.observe(max(0.0, seconds))
        self._done.update(work)

    def finished(self, reason: str, seconds: float | None) -> None:
        """How a job ended is written down. reason: one of `REASONS`. seconds: since it started; None where it never
        did."""
        self._finished.labels(reason).inc()
        if seconds is not None:
            self._duration.labels("complete" if reason == COMPLETED else "failed").observe(max(0.0, seconds))

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def _collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("shuffle_jobs", "Jobs by phase.", labels=["phase"])
        for phase, count in sorted(self._readings.phases().items()):
            jobs.add_metric([phase], count)
        yield jobs
        now = self._readings.work()
        for name, text, label, done, here in (
            ("shuffle_bytes", "Bytes that were read, sent, spilled and written.", "kind", self._done.bytes, now.bytes),
            ("shuffle_rows", "Rows that were read, received and written.", "step", self._done.rows, now.rows),
            (
                "shuffle_workers_lost",
                "Workers that failed or were taken away.",
                "kind",
                self._done.lost,
                now.lost,
            ),
            (
                "shuffle_splits_redone",
                "Splits that were read again, or resent.",
                "how",
                self._done.redone,
                now.redone,
            ),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for key in sorted({*done, *here}):
                family.add_metric([key], done[key] + here[key])
            yield family
        store = self._done.store + now.store
        yield CounterMetricFamily("shuffle_store_outages", "Times that a store was away.", value=store["outages"])
        yield CounterMetricFamily(
            "shuffle_store_wait_seconds", "Seconds that jobs waited for stores.", value=store["seconds"]
        )
        yield CounterMetricFamily(
            "shuffle_requests_refused", "Calls without a job's token.", value=self._readings.refused()
        )
        yield CounterMetricFamily(
            "shuffle_events_dropped", "Events that Kubernetes did not take.", value=self._readings.dropped()
        )
        requests = CounterMetricFamily("rest_client_requests", "Requests to the API server.", labels=["method", "code"])
        for (method, code), count in sorted(self._readings.requests().items()):
            requests.add_metric([method, code], count)
        yield requests


class _Later:
    """A collector that asks when it is asked."""

    def __init__(self, ask: Callable[[], Iterable[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> Iterable[Metric]:
        return list(self._ask())
