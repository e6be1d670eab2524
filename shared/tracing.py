"""OpenTelemetry traces, from a request through its jobs, if there is somebody to send them to.

Without an endpoint nothing of OpenTelemetry is loaded, and a span is a plain block. What is told of
spans is what may stand in logs: no names, no queries, and not what errors say.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

FLUSH_SECONDS = 3

Kind = Literal["INTERNAL", "SERVER", "CONSUMER", "CLIENT"]

_provider: "TracerProvider | None" = None


def configure(endpoint: str | None, service: str) -> None:
    """Send this process's spans, and those of processes it forks, to a collector over HTTP.

    Headers, sampling and the like are set by OpenTelemetry's own variables, `OTEL_…`.
    """
    global _provider  # noqa: PLW0603 - As logging, it is the whole process's.
    if endpoint is None:
        return
    # A sixth of a second and some megabytes, for those alone who want traces.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    resource = Resource.create({"service.name": service})
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(exporter))


def flush() -> None:
    """Send what has not been sent yet, for the process is about to end; it may not take long."""
    if _provider is not None:
        # The provider's own ways to end have no bound that holds.
        thread = threading.Thread(target=_provider.force_flush, name="flush", daemon=True)
        thread.start()
        thread.join(FLUSH_SECONDS)


class Span:
    """What a block does, and what is to be told of it."""

    def __init__(self, inner: "trace.Span | None") -> None:
        self._inner = inner

    def tell(self, attributes: Mapping[str, str | int | None], *, name: str | None = None) -> None:
        if self._inner is None:
            return
        known = {key: value for key, value in attributes.items() if value is not None}
        self._inner.set_attributes(known)
        if name:
            self._inner.update_name(name)


@contextmanager
def span(
    name: str, *, kind: Kind = "INTERNAL", parent: str | None = None, began_ns: int | None = None
) -> Iterator[Span]:
    """The block as a span of the trace around it or, if `parent` is given, of that one's.

    `parent` is a `traceparent` as in W3C Trace Context; one that is empty or wrong begins a trace.
    """
    if _provider is None:
        yield Span(None)
        return
    from opentelemetry import trace  # noqa: PLC0415 - As above.

    with _provider.get_tracer("quaver").start_as_current_span(
        name,
        None if parent is None else _context_of(parent),
        trace.SpanKind[kind],
        start_time=began_ns,
        record_exception=False,
        set_status_on_exception=False,
    ) as inner:
        try:
            yield Span(inner)
        except BaseException as error:
            inner.set_status(trace.StatusCode.ERROR)
            inner.set_attribute("error.type", type(error).__name__)
            raise


def traceparent() -> str | None:
    """The span around this, for others to continue its trace."""
    if _provider is None:
        return None
    carrier: dict[str, str] = {}
    _propagator().inject(carrier)
    return carrier.get("traceparent")


def _context_of(parent: str) -> "Context":
    from opentelemetry.context import Context  # noqa: PLC0415 - As above.

    return _propagator().extract({"traceparent": parent}, Context())


def _propagator() -> "TraceContextTextMapPropagator":
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - As above.

    return tracecontext.TraceContextTextMapPropagator()
