import os
import signal
from pathlib import Path

import pytest
import redis

from launcher import valkey
from tests.launcher.conftest import Eventually


def test_data_port_and_password_survive_a_kill(folder: Path, eventually: Eventually) -> None:
    with valkey.Server(folder) as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("kept", "42")
            client.execute_command("WAITAOF", 1, 0, 5000)
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not server.is_running())

    with valkey.Server(folder) as server, redis.Redis.from_url(url) as client:
        assert server.url == url
        assert client.get("kept") == b"42"


def test_it_asks_for_its_password(folder: Path) -> None:
    with valkey.Server(folder) as server:
        stranger = redis.Redis.from_url(
            server.url.replace(":", ":not-", 2).replace(":not-//", "://")
        )

        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()

    assert (folder / "valkey.conf").stat().st_mode & 0o777 == 0o600
    assert (folder / "server.json").stat().st_mode & 0o777 == 0o600


def test_a_folder_may_have_any_name(folder: Path) -> None:
    odd = folder / 'a "b" \\c ü'

    with valkey.Server(odd) as server:
        assert server.is_ready()

    assert (odd / "data" / "appendonlydir").is_dir()
