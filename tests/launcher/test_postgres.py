import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from launcher import LaunchError, account, leash, ports, postgres
from tests.launcher.conftest import Eventually

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root does")


@contextmanager
def cursor(url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def execute(url: str, statement: str) -> None:
    with cursor(url) as open_cursor:
        open_cursor.execute(statement)


def query(url: str, statement: str) -> Any:
    with cursor(url) as open_cursor:
        open_cursor.execute(statement)
        return open_cursor.fetchone()


def test_data_port_and_password_survive_a_kill(folder: Path, eventually: Eventually) -> None:
    with postgres.Server(folder) as server:
        url = server.url
        execute(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not server.is_running())

    with postgres.Server(folder) as server:
        assert server.url == url
        assert query(url, "SELECT answer FROM kept") == (42,)


def test_a_killed_server_is_started_again_by_the_same_object(
    folder: Path, eventually: Eventually
) -> None:
    with postgres.Server(folder, fsync=False) as server:
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not server.is_running())

        def restarted() -> bool:
            # Its backends may take a moment to notice, and keep a new server away until then.
            if not server.is_running():
                server.start()
            return server.is_ready()

        eventually(restarted)

        assert query(server.url, "SELECT 1") == (1,)


def test_it_is_durable_and_private_by_default(folder: Path) -> None:
    with postgres.Server(folder) as server:
        settings = ["fsync", "data_checksums", "listen_addresses"]

        assert [query(server.url, f"SHOW {name}") for name in settings] == [
            ("on",),
            ("on",),
            ("127.0.0.1",),
        ]
        assert "unix_socket_directories=" in server.command
        assert (folder / "server.json").stat().st_mode & 0o777 == 0o600
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(server.url.replace("quaver:", "quaver:not-"))


def test_its_role_owns_the_database_and_nothing_more(folder: Path) -> None:
    with postgres.Server(folder, fsync=False) as server:
        assert query(server.url, "SELECT current_user, current_database()") == ("quaver", "quaver")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            query(server.url, "SELECT pg_read_file('postgresql.conf')")


def test_half_made_data_are_made_anew(folder: Path) -> None:
    cluster = folder / "cluster"
    account.give_folder(cluster, account.for_postgres(cluster))
    (cluster / "data.part").mkdir()
    (cluster / "data.part" / "PG_VERSION").write_text("18\n")
    (cluster / "superuser-password").write_text("of the start that was killed")

    with postgres.Server(folder, fsync=False) as server:
        assert query(server.url, "SELECT 1") == (1,)

    assert [path.name for path in cluster.iterdir()] == ["data"]


def test_a_pid_file_that_names_a_stranger_does_not_keep_it_from_starting(folder: Path) -> None:
    with postgres.Server(folder, fsync=False) as server:
        lines = server.cluster.pid_file_lines()
    # PostgreSQL believes it of any process that it may send a signal.
    command = leash.wrap(["/bin/sleep", "60"], account=server.account)
    with subprocess.Popen(command) as stranger:
        server.cluster.pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))

        with postgres.Server(folder, fsync=False) as again:
            assert query(again.url, "SELECT 1") == (1,)

        assert stranger.poll() is None
        stranger.kill()


def test_an_empty_pid_file_does_not_keep_it_from_starting(folder: Path) -> None:
    with postgres.Server(folder, fsync=False) as server:
        pass
    server.cluster.pid_file.touch()

    with postgres.Server(folder, fsync=False) as again:
        assert query(again.url, "SELECT 1") == (1,)


def test_a_server_that_was_left_over_is_ended_first(folder: Path) -> None:
    leftover = postgres.Server(folder, fsync=False)

    with leftover, postgres.Server(folder, fsync=False) as server:
        assert leftover.exit_code() == 0
        assert query(server.url, "SELECT 1") == (1,)


def test_a_lost_password_is_replaced(folder: Path) -> None:
    with postgres.Server(folder, fsync=False) as server:
        execute(server.url, "CREATE TABLE kept ()")
    (folder / "server.json").unlink()

    with postgres.Server(folder, fsync=False) as server:
        assert query(server.url, "SELECT count(*) FROM kept") == (0,)


def test_a_kill_takes_its_backends_along(folder: Path, eventually: Eventually) -> None:
    with postgres.Server(folder, fsync=False) as server:
        pid = server.pid
        with closing(psycopg2.connect(server.url)):
            server.kill()
            eventually(lambda: not server.is_running())

        with postgres.Server(folder, fsync=False) as again:
            assert again.pid != pid


def test_a_port_that_was_taken_meanwhile_is_left_to_others(folder: Path) -> None:
    with postgres.Server(folder, fsync=False) as server:
        port = urlsplit(server.url).port

    with (
        socket.create_server((ports.LOOPBACK, port)),
        postgres.Server(folder, fsync=False) as again,
    ):
        assert urlsplit(again.url).port != port


@needs_root
def test_under_root_it_runs_as_the_owner_of_its_data(folder: Path) -> None:
    with postgres.Server(folder, fsync=False) as server:
        owner = Path(f"/proc/{server.pid}").stat().st_uid

        assert owner == (folder / "cluster" / "data").stat().st_uid != 0
        assert folder.stat().st_uid == (folder / "server.json").stat().st_uid == 0


@needs_root
def test_roots_closed_folders_are_avoided(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "ROOTS_FOLDER", folder / "lib")
    monkeypatch.setattr(account.Account, "reaches", lambda _, path: path.is_relative_to(folder))

    with postgres.Server(tmp_path, fsync=False) as server:
        assert query(server.url, "SELECT 1") == (1,)

    assert (tmp_path / "cluster").readlink().parent == folder / "lib"
    assert Path(server.command[0]).is_relative_to(folder / "lib" / "postgresql-18.6.3")


def test_a_temporary_server_leaves_nothing() -> None:
    with postgres.temporary() as server:
        data = server.cluster.data

        assert query(server.url, "SHOW fsync") == ("off",)
        # Its owner could not drop a database that is being vacuumed.
        assert query(server.url, "SHOW autovacuum") == ("off",)

    assert not data.parent.exists()


def test_a_user_without_a_name_is_told_so(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 987_654)

    with pytest.raises(LaunchError, match=r"987654, who has no entry in /etc/passwd"):
        account.for_postgres(folder)
