"""An HTTP connection that is kept open, as a program's is that uploads again and again."""

import http.client
import json
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

BOUNDARY = "----------------------------quaver-bench"
BLOCK_BYTES = 256 << 10


class WrongAnswer(Exception):
    """A service did not do what is to be timed."""


@dataclass(frozen=True)
class Reply:
    """A success."""

    body: bytes
    wait_seconds: float
    """From the moment when the kernel had the request's last byte to the answer's first."""

    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """To the server at `url`; opened anew, which takes 0.1 ms, when the server has closed it."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._client = http.client.HTTPConnection(
            str(place.hostname), place.port, blocksize=BLOCK_BYTES
        )

    def get(self, target: str) -> Reply:
        """Raises: WrongAnswer."""
        self._begin("GET", target)
        self._client.endheaders()
        return self._reply()

    def upload(self, target: str, fields: Mapping[str, str], wav: Path) -> Reply:
        """POST a form with a file, as curl does.

        Raises: WrongAnswer.
        """
        head, tail = _form(fields, wav.name)
        self._begin("POST", target)
        self._client.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        self._client.putheader("Content-Length", str(len(head) + wav.stat().st_size + len(tail)))
        self._client.endheaders(head)
        with wav.open("rb") as file:
            self._client.send(file)
        self._client.send(tail)
        return self._reply()

    def close(self) -> None:
        self._client.close()

    def _begin(self, method: str, target: str) -> None:
        """Before an answer is due, all there can be to read is that the server has closed."""
        if self._client.sock and _is_readable(self._client, seconds=0):
            self._client.close()
        self._client.putrequest(method, target)

    def _reply(self) -> Reply:
        sent_at = time.perf_counter()
        _is_readable(self._client, seconds=None)
        wait_seconds = time.perf_counter() - sent_at
        answer = self._client.getresponse()
        body = answer.read()
        if answer.status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
            raise WrongAnswer(f"{answer.status} {body.decode()}")
        return Reply(body, wait_seconds)


def _is_readable(client: http.client.HTTPConnection, *, seconds: float | None) -> bool:
    return bool(select.select([client.sock], [], [], seconds)[0])


def _form(fields: Mapping[str, str], filename: str) -> tuple[bytes, bytes]:
    """What stands in it before the file, and behind."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return "".join([*parts, file]).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
