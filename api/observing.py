"""Every request is seen: it has an id, a line in the log, a place in the metrics, and a span.

The route's template stands for the path everywhere: a path that nobody foresaw can hold anything,
and would be a label of its own.
"""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import events
from api.metrics import Metrics
from api.problems import METHODS
from shared import logs, tracing

PROBES = ("/health/live", "/health/ready", "/metrics")
"""Asked every few seconds by machines: their lines and spans would bury the others."""

log = logging.getLogger(__name__)


class Observed:
    """Sees to all requests of an API."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = logs.new_request_id(headers.get(b"x-request-id", b"").decode("latin-1"))
        scope["request_id"] = request_id
        # Not only while this runs: the server's own lines about a failure come afterwards. The
        # context is that of a task which serves no other request.
        logs.begin(request_id=request_id)
        exchange = _Exchange(scope, receive, send, self._metrics)
        if scope["path"] in PROBES:
            await exchange.run(self._app)
            return
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        with tracing.span(exchange.method, kind="SERVER", parent=parent) as span:
            try:
                await exchange.run(self._app)
            finally:
                attributes = {
                    "http.request.method": exchange.method,
                    "http.route": exchange.route,
                    "http.response.status_code": exchange.status,
                    "request_id": request_id,
                }
                span.tell(attributes, name=f"{exchange.method} {exchange.route}")


class _Exchange:
    """A request and its answer, measured."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, metrics: Metrics) -> None:
        self.method = scope["method"] if scope["method"] in METHODS else "other"
        self.status = 500
        """Where nothing is answered, the server says so."""
        self._scope = scope
        self._receive = receive
        self._send = send
        self._metrics = metrics
        self._received_bytes = 0
        self._sent_bytes = 0
        self._began = time.perf_counter()
        self._ended: float | None = None
        self._is_counted = False

    @property
    def route(self) -> str:
        """The template of the path; known once the request is routed."""
        return getattr(self._scope.get("route"), "path", "unknown")

    async def run(self, app: ASGIApp) -> None:
        self._metrics.in_flight.inc()
        try:
            await app(self._scope, self.receive, self.send)
        finally:
            self._count()
            self._log()

    async def receive(self) -> Message:
        message = await self._receive()
        size_bytes = len(message.get("body", b""))
        if size_bytes:
            self._received_bytes += size_bytes
            # At once: an upload may take an hour, whose bytes must not all come in its last second.
            self._metrics.received_bytes.labels(self.route).inc(size_bytes)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            request_id = self._scope["request_id"].encode()
            message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            if _begins_events(message):
                self._count()
        else:
            size_bytes = len(message.get("body", b""))
            self._sent_bytes += size_bytes
            self._metrics.sent_bytes.labels(self.route).inc(size_bytes)
            if not message.get("more_body"):
                # What is left now is to hear out a client that is sending still.
                self._ended = time.perf_counter()
                self._count()
        await self._send(message)

    def _count(self) -> None:
        """Once: when the answer ends or, should it be events, begins.

        How long those are followed is up to the client, and says nothing of this service.
        """
        if self._is_counted:
            return
        self._is_counted = True
        self._metrics.in_flight.dec()
        self._metrics.requests.labels(self.method, self.route, str(self.status)).observe(
            self._seconds()
        )

    def _seconds(self) -> float:
        """How long it has taken until now, or until its answer ended."""
        return (self._ended or time.perf_counter()) - self._began

    def _log(self) -> None:
        fields = {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "milliseconds": round(self._seconds() * 1000, 1),
            "received_bytes": self._received_bytes,
            "sent_bytes": self._sent_bytes,
        }
        log.log(
            logging.DEBUG if self._scope["path"] in PROBES else logging.INFO,
            "%(method)s %(route)s %(status)d in %(milliseconds)s ms, "
            "%(received_bytes)d bytes in, %(sent_bytes)d out",
            fields,
            extra={"fields": fields},
        )


def _begins_events(start: Message) -> bool:
    """Whether an answer's head announces a stream of events."""
    content_type = dict(start["headers"]).get(b"content-type", b"")
    return bool(content_type.startswith(events.MEDIA_TYPE.encode()))
