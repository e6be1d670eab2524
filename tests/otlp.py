"""A collector of OpenTelemetry's traces, as far as the service needs one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from launcher import ports


class Span(NamedTuple):
    """A span that came."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]


class Collector:
    """What has come so far, over HTTP as OTLP has it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []

    def spans(self, trace_id: str) -> dict[str, Span]:
        """Those of a trace, by their names."""
        return {
            span.name: span
            for body in list(self.bodies)
            for span in _spans(body)
            if span.trace_id == trace_id
        }


@contextmanager
def collector() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            came.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((ports.LOOPBACK, 0), Handler) as server:
        came = Collector(f"http://{ports.LOOPBACK}:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield came
        finally:
            server.shutdown()
            thread.join()


def _spans(body: bytes) -> Iterator[Span]:
    for of_service in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _attributes(of_service.resource.attributes)["service.name"]
        for span in (span for scope in of_service.scope_spans for span in scope.spans):
            yield Span(
                service,
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                _attributes(span.attributes),
            )


def _attributes(pairs: Any) -> dict[str, str]:
    """As text, whatever their types."""
    return {pair.key: str(getattr(pair.value, pair.value.WhichOneof("value"))) for pair in pairs}
