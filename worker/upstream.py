"""JSON from other people's servers: bounded in time, in size and in patience.

A timeout of `requests` bounds each single read, so a server that sends a byte now and then can
hold its client for hours, in the headers already. Here the timeout is for the response as a whole:
`_Response` reads the socket through `_TimedReader`.
"""

import http.client
import io
import json
import math
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from worker.turns import Turns

USER_AGENT = "quaver (collects quiz questions)"

MOST_BYTES = 1 << 20
MOST_ATTEMPTS = 3
MOST_REDIRECTS = 3
MOST_CONNECTIONS = 32
"""Kept open between requests. More threads than that may ask; the rest connect anew."""

LONGEST_PAUSE_SECONDS = 30
"""A `Retry-After` up to this is waited for; a longer one is an answer: not now."""

DAY_SECONDS = 86_400

ANSWER_SECONDS = 1
"""What must be left of the time when a turn comes: an answer takes that long."""

RETRY_SECONDS = 1
"""A server that failed is not worth a longer wait for its next turn: another source is faster."""

CONNECT_SECONDS = 3
RESPONSE_SECONDS = 10
BACKOFF_SECONDS = 0.25

_PASSING_STATUSES = frozenset({408, 500, 502, 503, 504})

T = TypeVar("T")


class SourceError(Exception):
    """A source gave nothing.

    `reason` completes the sentence "jservice …" and may be shown to users: no addresses in it.
    """

    def __init__(
        self, reason: str, *, retry_after_seconds: int | None = None, is_passing: bool = False
    ) -> None:
        """`is_passing` says that the same request may well succeed in a moment."""
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.is_passing = is_passing
        super().__init__(reason)


class TooFast(SourceError):
    """The source was asked too often, and wants nothing more than patience."""

    def __init__(self, reason: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(reason, retry_after_seconds=retry_after_seconds, is_passing=True)


class SourceBusy(SourceError):
    """The source is well and is asked as often as it allows: it did not fail."""

    def __init__(self, seconds: float) -> None:
        wait = max(1, math.ceil(seconds))
        super().__init__(
            f"is asked as often as it allows, next in {wait} s", retry_after_seconds=wait
        )


class Upstream:
    """An address that answers GET with JSON. Threads may share it."""

    def __init__(
        self,
        url: str,
        *,
        turns: Turns | None = None,
        response_seconds: float = RESPONSE_SECONDS,
        backoff_seconds: float = BACKOFF_SECONDS,
    ) -> None:
        """Each request takes one of the `turns`; None: the server may be asked at any time."""
        self._url = url
        self._turns = turns
        self._response_seconds = response_seconds
        self._backoff_seconds = backoff_seconds
        self._session = _Session()

    def close(self) -> None:
        self._session.close()

    def get(
        self,
        params: Mapping[str, str | int],
        *,
        read: Callable[[Any], T],
        deadline: float,
        path: str = "",
    ) -> T:
        """What `read` makes of the parsed answer; it may raise a SourceError of its own.

        `deadline` is a time of `time.monotonic()`; nothing lasts beyond it. `path` is appended to
        the address.

        What may pass (a broken connection, a server's error, "too many requests") is tried again,
        `MOST_ATTEMPTS` times in all. A server that did not answer in time is not asked again: it
        has had all the time there is for one request.

        Raises:
            SourceBusy: its next turn comes too late.
            SourceError: it failed, or `read` found its answer wanting.
        """
        self._await_turn(deadline - ANSWER_SECONDS - time.monotonic())
        attempt = 1
        while True:
            try:
                return read(self._get_once(self._url + path, params, deadline))
            except SourceError as error:
                is_last = not error.is_passing or attempt == MOST_ATTEMPTS
                if is_last or not self._pause(attempt, error, deadline):
                    raise
            attempt += 1

    def _pause(self, attempt: int, error: SourceError, deadline: float) -> bool:
        """Wait until it may be tried again; False if that is not worth the time."""
        pause = max(self._backoff(attempt), error.retry_after_seconds or 0)
        if pause > min(LONGEST_PAUSE_SECONDS, deadline - time.monotonic()):
            return False
        time.sleep(pause)
        patience = deadline - ANSWER_SECONDS - time.monotonic()
        if not isinstance(error, TooFast):
            patience = min(patience, RETRY_SECONDS)
        try:
            self._await_turn(patience)
        except SourceBusy:
            return False
        return True

    def _await_turn(self, patience_seconds: float) -> None:
        """Raises: SourceBusy."""
        if self._turns is None:
            return
        wait = self._turns.reserve(patience_seconds)
        if wait > patience_seconds:
            raise SourceBusy(wait)
        time.sleep(wait)

    def _backoff(self, attempt: int) -> float:
        """Growing, and jittered, so that many clients do not come back at once."""
        jitter = random.uniform(0.5, 1.5)  # noqa: S311 - Nothing secret.
        return self._backoff_seconds * attempt * jitter

    def _get_once(self, url: str, params: Mapping[str, str | int], deadline: float) -> Any:
        try:
            with self._open(url, params, deadline) as response:
                _require_success(response)
                body = _read(response)
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise SourceError("did not answer in time") from error
        except (requests.ConnectionError, urllib3.exceptions.ProtocolError) as error:
            raise SourceError("could not be reached, or broke off", is_passing=True) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise SourceError("could not be understood") from error
        return _parse(body)

    def _open(
        self, url: str, params: Mapping[str, str | int], deadline: float
    ) -> requests.Response:
        """The response, its body yet to be read, after redirects within the same server."""
        query = dict(params)
        for _ in range(1 + MOST_REDIRECTS):
            response = self._session.get(
                url,
                params=query,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout(deadline),  # type: ignore[arg-type] # The stubs omit it.
            )
            if not response.is_redirect:
                return response
            response.close()
            url, query = _redirected(url, response.headers["Location"]), {}
        raise SourceError("redirects without end")

    def _timeout(self, deadline: float) -> urllib3.Timeout:
        left = deadline - time.monotonic()
        if left <= 0:
            raise SourceError("did not answer in time")
        return urllib3.Timeout(
            total=left, connect=min(CONNECT_SECONDS, left), read=self._response_seconds
        )


def _require_success(response: requests.Response) -> None:
    status = response.status_code
    if status == requests.codes.ok:
        return
    reason = f"answered with status {status}"
    wish = _retry_after(response.headers.get("Retry-After"))
    if status == requests.codes.too_many_requests:
        raise TooFast(reason, retry_after_seconds=wish)
    raise SourceError(reason, retry_after_seconds=wish, is_passing=status in _PASSING_STATUSES)


def _retry_after(value: str | None) -> int | None:
    """Seconds that the header asks for, as a number or as a date."""
    if value is None:
        return None
    try:
        return math.ceil(urllib3.Retry(retry_after_max=DAY_SECONDS).parse_retry_after(value))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads, if that is the same server, or the same host over TLS."""
    try:
        target = urljoin(url, location)
        old, new = urlsplit(url), urlsplit(target)
    except ValueError as error:
        raise SourceError("redirects to nowhere") from error
    same_server = (new.scheme, new.netloc) == (old.scheme, old.netloc)
    upgrade = new.scheme == "https" and new.hostname == old.hostname
    if not (same_server or upgrade):
        raise SourceError("redirects to another host")
    return target


def _read(response: requests.Response) -> bytes:
    """The body, decompressed, which is how its size is counted."""
    body = bytearray()
    for piece in response.raw.stream(64 * 1024, decode_content=True):
        body += piece
        if len(body) > MOST_BYTES:
            raise SourceError("sent more than any list of questions takes")
    return bytes(body)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceError("sent something that is not JSON") from error


class _Session(requests.Session):
    """A session that trusts neither its environment nor its servers."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # No proxy and no .netrc of whoever started the worker.
        self.headers["User-Agent"] = USER_AGENT
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(pool_maxsize=MOST_CONNECTIONS))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, whatever the response says: `Upstream` follows redirects.

        Even when it is told not to follow one, `requests` reads its body, however long that is.
        """


class _TimedReader(io.RawIOBase):
    """Reads a socket; the socket's timeout, as it is now, is for all reads together."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._socket = sock
        self._raw = raw
        self._deadline = time.monotonic() + (sock.gettimeout() or RESPONSE_SECONDS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the response took too long as a whole")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(sock, self.fp.detach()))


class _TimedConnect:
    """Looks a name up and tries its addresses, all within the timeout of the connection.

    By itself the look-up has none (a resolver that is away takes half a minute), and each of the
    addresses has the whole. The thread that is left behind ends when the resolver gives up.
    """

    def _new_conn(self) -> socket.socket:
        outcome: Future[socket.socket] = Future()

        def connect() -> None:
            try:
                outcome.set_result(super(_TimedConnect, self)._new_conn())  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - It is the caller's.
                outcome.set_exception(error)

        threading.Thread(target=connect, daemon=True).start()
        try:
            return outcome.result(self.timeout)  # type: ignore[attr-defined]
        except TimeoutError as error:
            outcome.add_done_callback(_close)
            message = "looking up its name and connecting took too long as a whole"
            raise urllib3.exceptions.ConnectTimeoutError(self, message) from error


def _close(late: "Future[socket.socket]") -> None:
    if late.exception() is None:
        late.result().close()


class _HTTPConnection(_TimedConnect, urllib3.connection.HTTPConnection):
    response_class = _Response


class _HTTPSConnection(_TimedConnect, urllib3.connection.HTTPSConnection):
    response_class = _Response


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _Adapter(HTTPAdapter):
    """The adapter of `requests`, on connections whose responses are timed as a whole."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
