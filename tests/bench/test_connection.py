import json
import select
from collections.abc import Iterator
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bench.connection import Connection, WrongAnswer


class Echo(BaseHTTPRequestHandler):
    """Says what came, and from which of the client's ports."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, self.client_address[1])

    def do_POST(self) -> None:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = message_from_bytes(head + self.rfile.read(int(self.headers["Content-Length"])))
        parts = {
            part.get_param("name", header="Content-Disposition"): part.get_payload()
            for part in form.walk()
            if not part.is_multipart()
        }
        self.answer(201, parts)

    def answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(404 if self.path == "/nothing" else status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.path == "/last"

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(name="connection")
def fixture_connection() -> Iterator[Connection]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever).start()
        connection = Connection(f"http://127.0.0.1:{server.server_port}")
        yield connection
        connection.close()
        server.shutdown()


def test_a_form_arrives_as_it_was_sent(connection: Connection, tmp_path: Path) -> None:
    wav = tmp_path / "in.wav"
    wav.write_bytes(b"RIFF")

    reply = connection.upload("/record", {"user": "1"}, wav)

    assert reply.json() == {"user": "1", "file": "RIFF"}
    assert reply.wait_seconds > 0


def test_a_connection_is_kept(connection: Connection) -> None:
    assert connection.get("/").json() == connection.get("/").json()


def test_a_connection_that_the_server_closed_is_opened_anew(connection: Connection) -> None:
    first = connection.get("/last").json()
    select.select([connection._client.sock], [], [])

    assert connection.get("/").json() != first


def test_an_error_is_not_timed(connection: Connection) -> None:
    with pytest.raises(WrongAnswer, match="404"):
        connection.get("/nothing")
