"""What outlives the launcher in the data folder: the lock, and small private files."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from launcher import LaunchError, ports


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process alone.

    The kernel frees the lock with the process, however it ends; children do not inherit it.

    Raises:
        LaunchError: another launcher holds it.
    """
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 20).decode() or "unknown"
            raise LaunchError(
                f"Quaver is running already on the data in {folder} (process {holder}): "
                "stop that one, or set DATA_DIR to another folder."
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(file)


def read(file: Path) -> dict[str, Any]:
    """The JSON object in `file`; empty if there is none or it is not one."""
    try:
        content = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write(file: Path, content: Mapping[str, Any]) -> None:
    """Make `file` this JSON object, as `write_text` does."""
    write_text(file, json.dumps(content, indent=2))


def write_text(file: Path, text: str) -> None:
    """Replace `file` at once and for its owner only: no reader ever sees a part or a secret."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


@dataclass(frozen=True)
class Endpoint:
    """Where an embedded server listens on 127.0.0.1, and the password it asks for."""

    port: int
    password: str

    @classmethod
    def load(cls, file: Path, *, port: int | None = None) -> tuple["Endpoint", bool]:
        """The endpoint kept in `file`, and whether its password is a new one.

        The last port is taken again if it is free, for those who noted it; `port` insists.
        """
        kept = read(file)
        password = kept.get("password") or secrets.token_urlsafe(24)
        endpoint = cls(port or ports.free(kept.get("port")), password)
        return endpoint, password != kept.get("password")

    def save(self, file: Path, *, url: str) -> None:
        write(file, {**asdict(self), "url": url})
