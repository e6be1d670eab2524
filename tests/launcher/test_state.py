import os
import socket
from pathlib import Path

import pytest

from launcher import LaunchError, ports, state


def test_a_second_lock_on_the_same_folder_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with (
        state.lock(tmp_path),
        pytest.raises(LaunchError, match=rf"process {os.getpid()}.*DATA_DIR"),
        state.lock(tmp_path),
    ):
        pass


def test_a_lock_can_be_taken_again_when_it_is_free(tmp_path: Path) -> None:
    for _ in range(2):
        with state.lock(tmp_path):
            pass


def test_a_private_file_is_its_owners_only(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    file.touch(mode=0o644)

    state.write(file, {"password": "secret"})

    assert file.stat().st_mode & 0o777 == 0o600
    assert state.read(file) == {"password": "secret"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": 5'])
def test_a_broken_file_counts_as_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "server.json"
    file.write_text(content)

    assert state.read(file) == {}


def test_an_endpoint_keeps_its_password_and_a_free_port(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    first, new = state.Endpoint.load(file)
    first.save(file, url="redis://")

    assert new
    assert state.Endpoint.load(file) == (first, False)


def test_a_taken_port_is_refused_with_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(LaunchError, match=rf"^Port {port} is taken: set FLOWER_PORT to a free"):
            ports.check("FLOWER_PORT", "127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(LaunchError, match=r"HOST is '192\.0\.2\.1'"):
        ports.check("PORT", "192.0.2.1", 8000)


def test_a_free_port_is_outside_of_the_range_of_outgoing_connections() -> None:
    port = ports.free()

    assert 20_000 <= port < 32_000
    ports.check("PORT", "127.0.0.1", port)
