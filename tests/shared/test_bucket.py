"""A bucket whose server is away, full, frozen or of another mind."""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from launcher import ports
from shared import bucket as buckets
from shared import errors
from shared.bucket import Bucket
from shared.s3 import S3Store


@pytest.fixture
def bucket(s3_url: str) -> Bucket:
    return S3Store.of_url(s3_url)._bucket


def test_a_second_try_of_what_took_effect_is_no_conflict(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = uuid4()
    monkeypatch.setattr(buckets, "uuid4", lambda: writer)

    assert bucket.put_once("piece", b"RIFF")
    assert bucket.put_once("piece", b"RIFF")

    monkeypatch.setattr(buckets, "uuid4", uuid4)
    assert not bucket.put_once("piece", b"RIFF")


class Stub(BaseHTTPRequestHandler):
    """Answers everything alike."""

    protocol_version = "HTTP/1.1"  # Or it would be waited for to say that it wants the body.
    status, code = 200, ""
    promised_bytes = 0

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"<Error><Code>{self.code}</Code><Message/></Error>".encode() if self.code else b""
        self.send_response(self.status)
        self.send_header("Content-Length", str(self.promised_bytes or len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


for method in ("DELETE", "GET", "HEAD", "POST", "PUT"):
    setattr(Stub, f"do_{method}", Stub.answer)


@contextmanager
def answering(status: int, code: str = "", *, promised_bytes: int = 0) -> Iterator[str]:
    kind = type("Kind", (Stub,), locals())
    with ThreadingHTTPServer((ports.LOOPBACK, 0), kind) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://{ports.LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def hasty(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], S3Store]:
    """Uploads on another server, which is not asked twice and not waited for."""
    monkeypatch.setattr(buckets, "ATTEMPTS", 1)
    monkeypatch.setattr(buckets, "SILENCE_SECONDS", 0.2)

    def make(endpoint: str) -> S3Store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        return S3Store.of_url(s3_url)

    return make


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (507, "XMinioStorageFull", errors.StorageFull),
        (507, "", errors.StorageFull),
        (403, "QuotaExceeded", errors.StorageFull),
        (403, "AccessDenied", errors.StorageUnavailable),
        (404, "NoSuchBucket", errors.StorageUnavailable),
        (503, "SlowDown", errors.StorageUnavailable),
        (500, "", errors.StorageUnavailable),
    ],
)
def test_what_a_server_refuses_is_told(
    hasty: Callable[[str], S3Store], status: int, code: str, error: type[errors.QuaverError]
) -> None:
    with answering(status, code) as endpoint, pytest.raises(error) as raised:
        hasty(endpoint).check()

    assert raised.type is error


Using = Callable[[S3Store], object]


@pytest.mark.parametrize(
    "use",
    [
        S3Store.check,
        lambda uploads: uploads.create(uuid4()).commit(),
        lambda uploads: uploads.begin(uuid4(), expected_bytes=0),
        lambda uploads: uploads.resume(uuid4()),
        lambda uploads: uploads.open(uuid4()),
        lambda uploads: uploads.delete(uuid4()),
        lambda uploads: list(uploads.ages()),
    ],
)
def test_a_server_that_is_away_is_told(hasty: Callable[[str], S3Store], use: Using) -> None:
    uploads = hasty(f"http://{ports.LOOPBACK}:{ports.free()}")

    with pytest.raises(errors.StorageUnavailable):
        use(uploads)


def test_a_server_that_is_frozen_is_given_up(hasty: Callable[[str], S3Store]) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as frozen:
        uploads = hasty(f"http://{ports.LOOPBACK}:{frozen.getsockname()[1]}")

        with pytest.raises(errors.StorageUnavailable):
            uploads.check()


def test_an_answer_that_breaks_off_is_given_up(hasty: Callable[[str], S3Store]) -> None:
    with answering(206, promised_bytes=100) as endpoint:
        uploads = hasty(endpoint)

        with pytest.raises(errors.StorageUnavailable):
            uploads._bucket.read("piece", 0, 100)


def test_an_upload_is_given_up_though_its_server_is_away(hasty: Callable[[str], S3Store]) -> None:
    upload = hasty(f"http://{ports.LOOPBACK}:{ports.free()}").create(uuid4())
    upload.write(b"RIFF")
    with pytest.raises(errors.StorageUnavailable):
        upload.commit()

    upload.discard()


def test_no_log_holds_a_key(bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    bucket.put("piece", b"RIFF")

    assert "Authorization" not in caplog.text
    assert "Signature" not in caplog.text
