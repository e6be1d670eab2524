"""What Prometheus is told: of this process, and of the whole service.

The service's values are read from its servers when they are asked for, and every API process tells
the same: a query over several takes their maximum, and not their sum.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from api.dependencies import Services
from shared.jobs import KINDS, Open
from shared.models import State
from shared.outages import Outage
from shared.tallies import BOUNDS_SECONDS, Sums

MEDIA_TYPE = prometheus_client.CONTENT_TYPE_PLAIN_0_0_4

REQUEST_BOUNDS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

_BOUNDS = [str(bound) if bound < inf else "+Inf" for bound in BOUNDS_SECONDS]

# Else each counter has a gauge beside it that says when it began.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """What this process counts."""

    def __init__(self, services: Services) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self.requests = Histogram(
            "quaver_http_request_seconds",
            "Time from a request's head to the end of its answer, or to the beginning of events.",
            ("method", "route", "status"),
            buckets=REQUEST_BOUNDS_SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "quaver_http_requests_in_flight", "Requests not answered yet.", registry=registry
        )
        self.received_bytes = Counter(
            "quaver_http_received_bytes",
            "Bytes of requests' bodies, counted as they come.",
            ("route",),
            registry=registry,
        )
        self.sent_bytes = Counter(
            "quaver_http_sent_bytes",
            "Bytes of answers' bodies, counted as they go.",
            ("route",),
            registry=registry,
        )
        pool = services.transact.pool
        self._show("quaver_uploads_under_way", "Uploads arriving.", lambda: services.places.taken)
        self._show(
            "quaver_clients_waiting", "Clients waiting for a job.", lambda: services.waiter.clients
        )
        self._show(
            "quaver_clients_watching",
            "Clients told of a job's changes as they come.",
            lambda: services.waiter.watchers,
        )
        self._show("quaver_database_pool_size", "Connections there may be at most.", pool.size)
        self._show("quaver_database_pool_in_use", "Connections in use.", pool.checkedout)

    def _show(self, name: str, documentation: str, look: Callable[[], float]) -> None:
        Gauge(name, documentation, registry=self._registry).set_function(look)

    def render(self, snapshot: "Snapshot") -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry) + generate_latest(snapshot)


@dataclass(frozen=True)
class Snapshot(Collector):
    """What was found of the whole service; None is what could not be read."""

    sources: Sequence[str]
    open_jobs: Sequence[Open] | None
    queued_hints: Mapping[str, int] | None
    sums: Sums | None
    outages: Mapping[str, Outage] | None

    def collect(self) -> Iterator[Metric]:
        """A part that is away is said to be, and what it would have told is left out."""
        up = GaugeMetricFamily("quaver_up", "1 if this could be read, else 0.", labels=["part"])
        up.add_metric(["database"], self.open_jobs is not None)
        up.add_metric(["broker"], self.sums is not None)
        yield up
        if self.open_jobs is not None:
            yield from _of_jobs(self.open_jobs)
        if self.queued_hints is not None:
            yield _gauge(
                "quaver_queue_length",
                "Hints in the broker that no worker has taken yet.",
                "queue",
                self.queued_hints,
            )
        if self.sums is not None:
            yield from _of_work(self.sums)
        if self.outages is not None:
            yield _gauge(
                "quaver_source_up",
                "1 if a source of questions is asked in its turn, 0 if it is passed over.",
                "source",
                {source: source not in self.outages for source in self.sources},
            )


def _of_jobs(open_jobs: Sequence[Open]) -> Iterator[Metric]:
    found = {(each.kind, each.state): each for each in open_jobs}
    count = GaugeMetricFamily("quaver_jobs", "Jobs that have not ended.", labels=["kind", "state"])
    for kind in KINDS:
        for state in (State.QUEUED, State.RUNNING, State.WAITING):
            there = found.get((kind, state))
            count.add_metric([kind, state], there.number if there else 0)
    yield count
    queued = {kind: found.get((kind, State.QUEUED)) for kind in KINDS}
    yield _gauge(
        "quaver_job_longest_due_seconds",
        "For how long the first of the queued jobs could have been begun.",
        "kind",
        {kind: each.longest_due_seconds if each else 0 for kind, each in queued.items()},
    )


def _of_work(sums: Sums) -> Iterator[Metric]:
    attempts = HistogramMetricFamily(
        "quaver_job_attempt_seconds",
        "Time that workers took for attempts at jobs, from the claim on.",
        labels=["kind", "outcome"],
    )
    for name, *labels in sums:
        if name == "seconds":
            counts = (sums.get(("attempts", *labels, str(bound)), 0) for bound in BOUNDS_SECONDS)
            buckets = zip(_BOUNDS, accumulate(counts), strict=True)
            attempts.add_metric(labels, list(buckets), sums["seconds", *labels])
    yield attempts
    yield _counter("quaver_job_lease_expiries", "Jobs that lost their worker.", "expiries", sums)
    yield _counter(
        "quaver_job_hints_resent", "Hints sent again, as they may be lost.", "hints", sums
    )


def _counter(name: str, documentation: str, what: str, sums: Sums) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=["kind"])
    for kind in KINDS:
        family.add_metric([kind], sums.get((what, kind), 0))
    return family


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
