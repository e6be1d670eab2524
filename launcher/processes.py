"""A child process with its log: started on a leash, in a session of its own, stopped for good."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from launcher import LaunchError, leash
from launcher.account import Account

LOG_LIMIT_BYTES = 10 << 20
POLL_SECONDS = 0.05


class Process:
    """A program that can be started again and again.

    Its session and process group are its own, so that a terminal's Ctrl-C does not reach it and
    whatever it started can be ended with it. All of one launcher's are started from one thread,
    because the leash is tied to that thread.
    """

    stop_signal = signal.SIGTERM
    death_signal = signal.SIGKILL
    """What it gets when the launcher is killed; on Linux from the kernel."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        environment: Mapping[str, str],
        folder: Path = Path("/"),
        grace_seconds: float = 10,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log_file = log_file
        self.environment = environment
        self.folder = folder
        self.account: Account | None = None
        self.grace_seconds = grace_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        _rotate(self.log_file)
        command = leash.wrap(self.command, death_signal=self.death_signal, account=self.account)
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._started.pid

    def exit_code(self) -> int | None:
        """None while it runs; when it has ended, whatever is left of its group ends here too."""
        child = self._started
        if child.returncode is None and child.poll() is not None:
            self._signal_group(signal.SIGKILL)
        return child.returncode

    def is_running(self) -> bool:
        return self._child is not None and self.exit_code() is None

    def is_ready(self) -> bool:
        """Whether it does its work already."""
        return self.is_running()

    def end(self) -> None:
        """Ask it to stop."""
        # Not `Popen.send_signal`, which may reap it on the way, and then its group is forgotten.
        # Until `exit_code` has reaped it, its pid is nobody else's.
        os.kill(self.pid, self.stop_signal)

    def kill(self) -> None:
        """Make it stop, and all of its group."""
        self._signal_group(signal.SIGKILL)

    def recent_output(self, lines: int = 15) -> str:
        """The end of what it wrote since its last start."""
        with self.log_file.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - 16_384))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        stop_all([self])

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Wait for a process that nobody supervises.

        Raises:
            LaunchError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            if not self.is_running():
                raise LaunchError(f"{self.name} {self.last_words()}")
            if time.monotonic() > deadline:
                raise LaunchError(f"{self.name} was not ready after {seconds:.0f} s.")
            time.sleep(POLL_SECONDS)

    def last_words(self) -> str:
        """How it ended, in a line, and what it said, in more."""
        code = self._started.returncode
        how = f"ended with exit code {code}" if code >= 0 else f"was ended by {_name(-code)}"
        output = self.recent_output()
        return f"{how}.\nIts log, {self.log_file}, ends:\n{output}" if output else f"{how}."

    def __enter__(self) -> Self:
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._child

    def _signal_group(self, number: signal.Signals) -> None:
        # A group's number is taken while one of its members lives. That it could be another
        # group's by now would need all pids to be used up since the child was seen to end.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._started.pid, number)


def stop_all(
    processes: Sequence[Process],
    *,
    wait: Callable[[float], object] = time.sleep,
    hurried: Callable[[], bool] = lambda: False,
) -> None:
    """Stop them side by side: each is asked, given its grace, and then killed.

    While `hurried` there is no grace.
    """
    running = [process for process in processes if process.is_running()]
    for process in running:
        process.end()
    began = time.monotonic()
    while running := [process for process in running if process.is_running()]:
        for process in running:
            if hurried() or time.monotonic() - began > process.grace_seconds:
                process.kill()
        wait(POLL_SECONDS)


def birth(pid: int) -> str | None:
    """What tells a process from a later one with the same pid; None if there is none alive."""
    if sys.platform != "linux":
        return _ask_ps(pid, "lstart") or None
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, a name in parentheses, may hold anything; the 22nd is the start time.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else f"{boot} {fields[19]}"


def command_line(pid: int) -> str:
    """How a process was started; empty if there is none alive."""
    if sys.platform != "linux":
        return _ask_ps(pid, "command")
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _ask_ps(pid: int, column: str) -> str:
    command = ["/bin/ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _rotate(log_file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log_file.stat().st_size > LOG_LIMIT_BYTES:
            log_file.replace(log_file.with_name(f"{log_file.name}.1"))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
