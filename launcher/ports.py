"""TCP ports: whether one may be listened on, and one that is free."""

import errno
import secrets
import socket

from launcher import LaunchError

LOOPBACK = "127.0.0.1"


def check(setting: str, host: str, port: int) -> None:
    """See that `host` and `port` can be listened on.

    Raises:
        LaunchError: they cannot; the message names the setting to change.
    """
    try:
        _bind(host, port)
    except socket.gaierror:
        raise LaunchError(
            f"HOST is {host!r}, which is no address of this machine: "
            "set it to e.g. 127.0.0.1, or 0.0.0.0 for all of its addresses."
        ) from None
    except OSError as error:
        raise LaunchError(_explanation(error, setting, host, port)) from None


def free(preferred: int | None = None) -> int:
    """A port of 127.0.0.1 that nobody listens on: `preferred` if it is one."""
    port = preferred
    while port is None or not _is_free(port):
        # Below the range that outgoing connections get their ports from: while a server restarts,
        # a client calling it could otherwise be given its very port, and connect to itself.
        port = 20_000 + secrets.randbelow(12_000)
    return port


def answers(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    try:
        _bind(LOOPBACK, port)
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: connections of an earlier run that are still winding down do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _explanation(error: OSError, setting: str, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} is taken: set {setting} to a free one, "
                f"e.g. {setting}={_another(host, port)} make run"
            )
        case errno.EACCES:
            return f"Port {port} is for root only: set {setting} to one from 1024 up."
        case errno.EADDRNOTAVAIL:
            return f"HOST is {host!r}, which is no address of this machine: set it to one that is."
    return f"Cannot listen on {host} port {port} ({setting}): {error.strerror}"


def _another(host: str, port: int) -> int:
    for candidate in range(port + 1, port + 100):
        try:
            _bind(host, candidate)
        except (OSError, OverflowError):
            continue
        return candidate
    return free()
