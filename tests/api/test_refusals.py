"""POST /record, when it is refused: early, with a reason, and without a trace."""

import hmac
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import httpx
import pytest
import requests
from sqlalchemy import event

from api import uploads
from api.credentials import Credentials, authenticate
from shared import errors, users
from tests import audio
from tests.api.problems import problem
from tests.stack import Api, Stack, User, Wire, curl, eventually

pytestmark = pytest.mark.usefixtures("nothing_left")

WAV = audio.make_wav(0.1)
NO_WAV = b"ID3\x04" + bytes(1_000_000)
BOUNDARY = "f0rm"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
PART = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="

BAD_CREDENTIALS: dict[str, Callable[[User, User], tuple[str, str]]] = {
    "another's token": lambda alice, bob: (str(alice.id), bob.token),
    "wrong token": lambda alice, _: (str(alice.id), "00000000-0000-4000-8000-000000000000"),
    "malformed token": lambda alice, _: (str(alice.id), "secret"),
    "no token": lambda alice, _: (str(alice.id), ""),
    "huge token": lambda alice, _: (str(alice.id), "0" * 5_000),
    "unknown user": lambda alice, _: ("999999999", alice.token),
    "no user": lambda alice, _: ("", alice.token),
    "user 0": lambda alice, _: ("0", alice.token),
    "negative user": lambda alice, _: ("-1", alice.token),
    "user beyond 63 bits": lambda alice, _: (str(2**63), alice.token),
    "user beyond 64 bits": lambda alice, _: (str(2**64 + alice.id), alice.token),
    "user of 5,000 digits": lambda alice, _: ("9" * 5_000, alice.token),
    "fractional user": lambda alice, _: (f"{alice.id}.0", alice.token),
    "user in other digits": lambda alice, _: ("\u0661", alice.token),
    "user with a null byte": lambda alice, _: (f"{alice.id}\0", alice.token),
    "user that is a surrogate": lambda alice, _: ("%ED%A0%80", alice.token),
    "user with SQL": lambda alice, _: (f"{alice.id} OR 1=1", alice.token),
}


@pytest.fixture
def nothing_left(stack: Stack) -> Iterator[None]:
    """After the test there are no more uploads, records and jobs than before."""
    before = stack.rows()
    yield
    eventually(lambda: not stack.has_uploads())
    assert stack.rows() == before


@pytest.fixture
def carl(strict: Api) -> User:
    """A client of the strict API."""
    return strict.new_user()


def post_form(user: User, body: bytes, media_type: str = FORM) -> httpx.Response:
    return user.api.post("/record", content=body, headers={"Content-Type": media_type})


def whole_form(user: User, file: bytes = WAV) -> bytes:
    fields = "".join(f'{PART}"{name}"\r\n\r\n{value}\r\n' for name, value in user.fields.items())
    head = f'{fields}{PART}"file"; filename="a.wav"\r\n\r\n'
    return head.encode() + file + f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("case", BAD_CREDENTIALS)
def test_bad_credentials_are_told_apart_by_nothing(alice: User, bob: User, case: str) -> None:
    user, token = BAD_CREDENTIALS[case](alice, bob)

    in_form = alice.api.post(
        "/record", data={"user": user, "token": token}, files={"file": ("a.wav", WAV)}
    )
    in_head = alice.api.post(
        "/record",
        params={"user": user},
        headers={"Authorization": f"Bearer {token}".strip()},
        content=WAV,
    )

    for answer in (in_form, in_head):
        assert problem(answer) == (401, "invalid-credentials")
        assert answer.json()["detail"] == errors.InvalidCredentials().detail
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_credentials_are_weighed_by_the_same_steps_whatever_they_are(
    alice: User, bob: User, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: one look into the database, and one comparison in constant time."""
    steps: list[object] = []

    def compare(one: bytes, other: bytes) -> bool:
        steps.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        steps.append(statement)

    def steps_for(user: str, token: str) -> list[object]:
        steps.clear()
        with suppress(errors.InvalidCredentials), stack.database.transaction() as session:
            authenticate(session, Credentials(user, token))
        return steps.copy()

    monkeypatch.setattr(users, "hmac", SimpleNamespace(compare_digest=compare))
    event.listen(stack.engine, "before_cursor_execute", note)
    expected = steps_for(str(alice.id), alice.token)
    taken = [steps_for(*credentials(alice, bob)) for credentials in BAD_CREDENTIALS.values()]
    event.remove(stack.engine, "before_cursor_execute", note)

    assert [type(step) for step in expected] == [str, tuple]
    assert expected[1] == (32, 32)
    assert all(other == expected for other in taken)


@pytest.mark.parametrize("scheme", ["Basic", "Token", "Bearer,", "Bearer\t"])
def test_another_scheme_is_no_bearer_token(alice: User, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {alice.token}"}

    answer = alice.api.post("/record", params={"user": alice.id}, headers=headers, content=WAV)

    assert problem(answer) == (401, "invalid-credentials")


@pytest.mark.parametrize("as_form", [False, True])
def test_who_is_refused_by_header_and_query_sends_no_byte(
    alice: User, tmp_path: Path, *, as_form: bool
) -> None:
    file = tmp_path / "big.wav"
    file.write_bytes(NO_WAV)
    body = ("-F", f"file=@{file}") if as_form else ("--data-binary", f"@{file}")
    headers = ("-H", "Expect: 100-continue", "-H", "Authorization: Bearer wrong")

    done = curl(*headers, *body, f"{alice.api.url}/record?user={alice.id}")

    assert (done.status, done.sent_bytes) == (401, 0)


def test_too_many_announced_bytes_are_refused_before_they_come(carl: User) -> None:
    with carl.api.connect() as wire:
        wire.post(carl, "Content-Length: 300001")
        answer = wire.answer()

    assert (answer.status, answer.slug) == (413, "upload-too-large")
    assert b"300000 bytes" in answer.body


@pytest.mark.parametrize("length", ["9223372036854775808", "18446744073709551615"])
def test_an_absurd_length_is_too_large(alice: User, length: str) -> None:
    with alice.api.connect() as wire:
        wire.post(alice, f"Content-Length: {length}")

        assert wire.answer().slug == "upload-too-large"


def test_a_wav_of_just_the_limit_is_not_too_large(carl: User) -> None:
    wav = audio.riff(
        audio.chunk(b"fmt ", audio.fmt(bits=8, channels=32, sample_rate_hz=768_000)),
        audio.chunk(b"data", bytes(300_000 - 44), size=0),
    )
    too_late = carl.upload(wav[:-1] + b"\0\0"), carl.upload_plain(wav + b"\0")

    assert len(wav) == 300_000
    assert [problem(answer) for answer in too_late] == [(413, "upload-too-large")] * 2


def test_too_many_bytes_are_refused_while_they_come(carl: User) -> None:
    with carl.api.connect() as wire:
        wire.post(carl, "Transfer-Encoding: chunked")
        for block in (audio.make_wav(1.5), bytes(40_000)):
            wire.send(b"%x\r\n%b\r\n" % (len(block), block))
        answer = wire.answer()

    assert answer.slug == "upload-too-large"


def test_a_form_cannot_go_on_for_ever_behind_its_end(carl: User) -> None:
    with carl.api.connect() as wire:
        wire.send_head("POST /record", f"Content-Type: {FORM}", "Transfer-Encoding: chunked")
        for block in (whole_form(carl), bytes(200_000), bytes(200_000)):
            wire.send(b"%x\r\n%b\r\n" % (len(block), block))
        answer = wire.answer()

    assert answer.slug == "upload-too-large"


def test_a_sound_that_lasts_too_long_is_refused_by_its_header(carl: User) -> None:
    header = audio.riff(
        audio.chunk(b"fmt ", audio.fmt(channels=1, sample_rate_hz=4_000, bits=8)),
        audio.chunk(b"data", b"", size=12_001),
    )

    with carl.api.connect() as wire:
        wire.post(carl, "Content-Length: 12045")
        wire.send(header)
        answer = wire.answer()

    assert answer.slug == "upload-too-large"
    assert b"3 seconds" in answer.body


@pytest.mark.parametrize(
    ("start", "slug"),
    [
        (NO_WAV[:12], "not-a-wav"),
        (b"RIFX" + WAV[4:12], "not-a-wav"),
        (b"\xef\xbb\xbf" + WAV[:12], "not-a-wav"),
        (b"RIFF\0\0\0\0AVI ", "not-a-wav"),
        (b"<html><body>", "not-a-wav"),
        (WAV[:20] + b"\x61\x16" + WAV[22:44], "unsupported-wav-codec"),
        (WAV[:22] + b"\0\0" + WAV[24:44], "invalid-wav"),
    ],
)
def test_the_first_bytes_decide_while_the_rest_is_still_to_come(
    alice: User, start: bytes, slug: str
) -> None:
    with alice.api.connect() as wire:
        wire.post(alice, "Content-Length: 1000000", "Content-Type: audio/wav")
        wire.send(start)
        answer = wire.answer()

    assert answer.slug == slug
    assert answer.status == (422 if slug == "invalid-wav" else 415)


def test_the_first_bytes_decide_in_a_form_too(alice: User) -> None:
    body = whole_form(alice, NO_WAV)

    with alice.api.connect() as wire:
        wire.send_head("POST /record", f"Content-Type: {FORM}", f"Content-Length: {len(body)}")
        wire.send(body[:700])
        answer = wire.answer()

    assert (answer.status, answer.slug) == (415, "not-a-wav")


@pytest.mark.parametrize(
    ("wav", "expected"),
    [
        (b"", (415, "not-a-wav")),
        (b"RIFF", (415, "not-a-wav")),
        (WAV[:-1], (422, "invalid-wav")),
        (WAV[:30], (422, "invalid-wav")),
        (audio.riff(audio.chunk(b"fmt ", audio.fmt())), (422, "invalid-wav")),
        (audio.make_wav(0), (422, "invalid-wav")),
    ],
)
def test_a_broken_wav_is_refused(alice: User, wav: bytes, expected: tuple[int, str]) -> None:
    assert problem(alice.upload_plain(wav)) == expected
    assert problem(alice.upload(wav)) == expected


@pytest.mark.parametrize("send", ["--data-binary @{}", "-F user={u} -F token={t} -F file=@{}"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_hears_the_refusal_of_a_large_upload(
    alice: User, tmp_path: Path, send: str, version: str
) -> None:
    file = tmp_path / "large"
    file.write_bytes(NO_WAV * 20)
    body = send.format(file, u=alice.id, t=alice.token).split()
    headers = ("-H", "Expect:", "-H", f"Authorization: Bearer {alice.token}")

    done = curl(version, *headers, *body, f"{alice.api.url}/record?user={alice.id}")

    assert done.status == 415


@pytest.mark.parametrize("close", [False, True])
def test_requests_hears_the_refusal_of_a_large_upload(alice: User, *, close: bool) -> None:
    answer = requests.post(
        f"{alice.api.url}/record?user={alice.id}",
        data=NO_WAV * 20,
        headers=alice.headers | ({"Connection": "close"} if close else {}),
        timeout=30,
    )

    assert answer.status_code == 415


def test_a_client_that_closes_hears_the_refusal_of_a_large_upload(alice: User) -> None:
    # urllib always asks to close, sends everything, and only then listens.
    request = Request(
        f"{alice.api.url}/record?user={alice.id}",
        data=NO_WAV * 20,
        headers=alice.headers,
        method="POST",
    )

    with pytest.raises(HTTPError) as refused:
        urlopen(request, timeout=30)

    assert refused.value.code == 415
    refused.value.close()


def test_a_connection_ends_after_an_early_refusal(alice: User) -> None:
    with alice.api.connect() as wire:
        wire.post(alice, "Content-Length: 100")
        wire.send(NO_WAV[:50])
        assert wire.answer().headers["connection"] == "close"

        wire.send(NO_WAV[:50])

        assert wire.is_closed()


@pytest.mark.parametrize("sent", [0, 1, 30, len(WAV) - 1])
def test_an_upload_that_stalls_is_told_so(carl: User, sent: int) -> None:
    with carl.api.connect() as wire:
        wire.post(carl, f"Content-Length: {len(WAV)}")
        wire.send(WAV[:sent])
        answer = wire.answer()

    assert (answer.status, answer.slug) == (408, "upload-too-slow")


@pytest.mark.parametrize(("size_bytes", "is_enough"), [(6_100, True), (6_099, False)])
def test_an_upload_that_drips_is_refused_after_a_minute(
    size_bytes: int, *, is_enough: bool
) -> None:
    rate = uploads._Rate(100)
    began = rate._since
    rate.check(0, began + 59)

    with nullcontext() if is_enough else pytest.raises(errors.UploadTooSlow, match="100 bytes"):
        rate.check(size_bytes, began + 61)


def test_one_good_minute_does_not_pay_for_dripping() -> None:
    rate = uploads._Rate(100)
    rate.check(1_000_000, rate._since + 60)

    with pytest.raises(errors.UploadTooSlow):
        rate.check(1_000_001, rate._since + 60)


def test_uploads_over_the_bound_are_told_when_to_come_again(carl: User) -> None:
    with ExitStack() as connections:
        wires = [connections.enter_context(Wire(carl.api.port)) for _ in range(2)]
        for wire in wires:
            wire.post(carl, "Content-Length: 1000", "Expect: 100-continue")
            assert wire.answer().status == 100
        refused = carl.upload(WAV)
        ends = [wire.answer().slug for wire in wires]

    assert problem(refused) == (429, "too-many-requests")
    assert int(refused.headers["retry-after"]) > 0
    assert ends == ["upload-too-slow"] * 2


def test_who_is_not_known_yet_takes_no_place(carl: User) -> None:
    """Of two; a file that comes before its user's token takes one of them, and never both."""
    silent = f"Content-Type: {FORM}", "Content-Length: 100000"
    begun = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n\r\nRIFF'.encode()

    with ExitStack() as connections:
        for sent in (f"--{BOUNDARY}\r\n".encode(), begun, begun):
            wire = connections.enter_context(Wire(carl.api.port))
            wire.send_head("POST /record", *silent)
            wire.send(sent)
        answer = carl.upload(NO_WAV[:100])

    assert problem(answer) == (415, "not-a-wav")


def test_refused_and_broken_uploads_give_their_place_back(carl: User) -> None:
    for _ in range(3):
        carl.upload(NO_WAV[:100])
        carl.upload(WAV, data={})
        with carl.api.connect() as wire:
            wire.post(carl, f"Content-Length: {len(WAV)}")
            wire.send(WAV[:-1])

    with ExitStack() as connections:
        for _ in range(2):
            eventually(lambda: _gets_a_place(connections, carl))


def _gets_a_place(connections: ExitStack, user: User) -> bool:
    """Whether an upload may begin; it then stays so far until the connections are closed."""
    wire = connections.enter_context(Wire(user.api.port))
    wire.post(user, "Content-Length: 1000", "Expect: 100-continue")
    return wire.answer().status == 100


def test_a_client_that_goes_away_leaves_nothing(alice: User, stack: Stack) -> None:
    wav = audio.make_wav(20)

    with alice.api.connect() as wire:
        wire.post(alice, f"Content-Length: {len(wav)}")
        wire.send(wav[:2_000_000])
        eventually(stack.has_uploads)

    eventually(lambda: not stack.has_uploads())


@pytest.mark.parametrize(
    "media_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/mixed; boundary={BOUNDARY}",
        f"multipart/form-data; boundary={'b' * 1_000}",
        "multipart/form-data; boundary=another",
        "multipart/form-data; boundary=\xff",
    ],
)
def test_a_form_with_a_bad_boundary_is_malformed(alice: User, media_type: str) -> None:
    answer = alice.api.post(
        "/record",
        content=whole_form(alice),
        headers=[(b"Content-Type", media_type.encode("latin-1"))],
    )

    assert problem(answer) == (400, "malformed-request")


@pytest.mark.parametrize("cut", [1, 4, 40, len(WAV) + 20])
def test_a_form_that_was_cut_is_malformed(alice: User, cut: int) -> None:
    answer = post_form(alice, whole_form(alice)[: -cut - 4])

    assert problem(answer) == (400, "malformed-request")


@pytest.mark.parametrize(
    "part",
    [
        "Content-Disposition: form-data\r\n\r\nx",
        "Content-Disposition: attachment; name=file\r\n\r\nx",
        "Content-Type: audio/wav\r\n\r\nx",
        "\r\nx",
        "no header\r\n\r\nx",
        'Content-Disposition: form-data; name="' + "n" * 70_000 + '"\r\n\r\nx',
        "X: y\r\n" * 100 + "\r\nx",
    ],
)
def test_a_part_with_bad_headers_is_malformed(alice: User, part: str) -> None:
    body = f"--{BOUNDARY}\r\n{part}\r\n--{BOUNDARY}--\r\n"

    assert problem(post_form(alice, body.encode())) == (400, "malformed-request")


def test_huge_fields_are_malformed(alice: User) -> None:
    one = alice.upload(WAV, data={"note": "x" * 70_000})
    many = alice.upload(WAV, data={f"note{number}": "" for number in range(2_000)})

    assert [problem(one), problem(many)] == [(400, "malformed-request")] * 2


def test_a_form_without_a_file_is_refused(alice: User) -> None:
    form: dict[str, Any] = {name: (None, value) for name, value in alice.fields.items()}

    answer = alice.api.post("/record", files=form)

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "#/file"


def test_a_form_with_two_files_is_refused(alice: User) -> None:
    files = [("file", ("a.wav", WAV)), ("file", ("b.wav", WAV))]

    answer = alice.api.post("/record", data=alice.fields, files=files)

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == "#/file"


@pytest.mark.parametrize("name", ["user", "token", "note"])
@pytest.mark.parametrize("place", ["before", "behind"])
def test_a_form_with_a_field_twice_is_refused(alice: User, name: str, place: str) -> None:
    value = alice.fields.get(name, "a")
    another, whole = f'{PART}"{name}"\r\n\r\n{value}\r\n'.encode(), whole_form(alice)
    twice = another * 2 if name == "note" else another
    end = f"--{BOUNDARY}--\r\n".encode()
    body = twice + whole if place == "before" else whole.removesuffix(end) + twice + end

    answer = post_form(alice, body)

    assert problem(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"] == f"#/{name}"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        # A mixed one in it, as browsers of old sent several files (RFC 7578, 4.3).
        ("multipart/mixed; boundary=in\r\n\r\n--in\r\n\r\nRIFF\r\n--in--", (415, "not-a-wav")),
        ("audio/wav\r\nContent-Transfer-Encoding: base64\r\n\r\nUklGRg==", (415, "not-a-wav")),
    ],
)
def test_a_file_is_nothing_but_its_bytes(alice: User, part: str, expected: tuple[int, str]) -> None:
    fields = whole_form(alice).partition(f'{PART}"file"'.encode())[0]
    file = f'{PART}"file"\r\nContent-Type: {part}\r\n--{BOUNDARY}--\r\n'

    assert problem(post_form(alice, fields + file.encode())) == expected


def test_a_form_without_credentials_is_refused(alice: User) -> None:
    assert problem(alice.upload(WAV, data={})) == (401, "invalid-credentials")


def test_no_room_on_the_disk_is_said(carl: User, strict: Api) -> None:
    limits = resource.prlimit(strict.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(strict.pid, resource.RLIMIT_FSIZE, (100_000, limits[1]))

    answer = carl.upload(audio.make_wav(1))

    resource.prlimit(strict.pid, resource.RLIMIT_FSIZE, limits)
    assert problem(answer) == (507, "storage-full")
    assert int(answer.headers["retry-after"]) > 0
