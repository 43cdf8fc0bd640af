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

CONTROLLER = "shufflejob"
PASS_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
BARRIER_SECONDS = (1, 5, 15, 60, 300, 900, 3600, 14400)


class WorkSums(NamedTuple):
    """Sums over jobs that run."""

    bytes: Count[str]
    rows: Count[str]
    lost: int


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
    """Calls of workers without their token."""
    silent: Callable[[], float]
    """Seconds for which the API server has not answered."""
    dropped: Callable[[], int]
    """Events that Kubernetes did not take."""


class Metrics:
    def __init__(self, readings: Readings) -> None:
        self.registry = CollectorRegistry()
        self._readings = readings
        self._done = WorkSums(Count(), Count(), 0)
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

    def finished(self, work: WorkSums, barrier: float | None) -> None:
        """A job is let go of: what it did counts on. barrier: seconds from its plan to its barrier, if it got there."""
        if barrier is not None:
            self.barrier_wait.observe(barrier)
        self._done.bytes.update(work.bytes)
        self._done.rows.update(work.rows)
        self._done = self._done._replace(lost=self._done.lost + work.lost)

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def _collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("shuffle_jobs", "ShuffleJobs by phase.", labels=["phase"])
        for phase, count in sorted(self._readings.phases().items()):
            jobs.add_metric([phase], count)
        yield jobs
        now = self._readings.work()
        for name, text, label, done, here in (
            ("shuffle_bytes", "Bytes, by what became of them.", "kind", self._done.bytes, now.bytes),
            ("shuffle_rows", "Rows, by step.", "step", self._done.rows, now.rows),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for key in sorted({*done, *here}):
                family.add_metric([key], done[key] + here[key])
            yield family
        yield CounterMetricFamily("shuffle_workers_lost", "Workers lost.", value=self._done.lost + now.lost)
        yield CounterMetricFamily(
            "shuffle_requests_refused", "Calls of workers without their token.", value=self._readings.refused()
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
