"""Keeping processes alive until the launcher is told to stop."""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from launcher import LaunchError, processes, state
from launcher.processes import POLL_SECONDS, Process

LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A process that lived longer than this died of something new: it is restarted at once again."""

DEATHS_AT_START = 3
"""So many deaths before everything is ready are no accident."""


class Interrupted(Exception):
    """The launcher was told to stop while it waited for something."""


def say(text: str) -> None:
    """Tell the operator, if there still is one."""
    # A terminal that was closed, or a pipe that nobody reads any more, must not keep the launcher
    # from restarting and stopping what it has started.
    with contextlib.suppress(OSError):
        print(text, flush=True)


class Interrupts:
    """Ctrl-C, SIGTERM and a closed terminal, as a count; and a wait that any signal ends at once.

    A handler only counts: nothing is ever torn in the middle, between a child's start and the note
    of its pid for instance. A child's end is a signal as well, so that it is noticed at once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0)
        self._writer.settimeout(0)
        # Also where they came in ignored, as SIGINT does from a shell's `&`. Only nohup is obeyed.
        wanted = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            wanted.append(signal.SIGHUP)
        self._previous = {number: signal.signal(number, self._count) for number in wanted}
        self._previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float) -> None:
        """Sleep that long, or until the next signal."""
        select.select([self._reader], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            self._reader.recv(4096)

    def _count(self, *_: object) -> None:
        self.count += 1


@dataclass
class _Watched:
    """A process, and how often it has died lately."""

    process: Process
    deaths: int = 0
    started_at: float = 0.0
    restart_at: float | None = None
    """When it is to be started again; None while it runs."""
    problem: str = ""

    def note_death(self, problem: str) -> float:
        """Plan the restart; returns the pause until then, in seconds."""
        now = time.monotonic()
        if now - self.started_at > STEADY_SECONDS:
            self.deaths = 0
        pause = 0.0 if not self.deaths else min(0.25 * 2**self.deaths, LONGEST_PAUSE_SECONDS)
        self.deaths += 1
        self.problem = problem
        self.restart_at = now + pause
        return pause


class Supervisor:
    """Starts processes in order, restarts what dies, and stops all in reverse order.

    `folder` shows each process's pid in a file of its own, and keeps what the next start needs to
    recognise children that outlived a killed launcher.
    """

    def __init__(
        self, folder: Path, interrupts: Interrupts, say: Callable[[str], None] = say
    ) -> None:
        self._folder = folder
        self._births = folder / "processes.json"
        self._interrupts = interrupts
        self._say = say
        self._groups: list[list[_Watched]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def end_leftovers(self, seconds: float = 60) -> None:
        """End what a killed launcher left behind, as the kernel does by itself on Linux.

        Raises:
            LaunchError: something of it does not end.
        """
        for name, note in state.read(self._births).items():
            pid, deadline = note["pid"], time.monotonic() + seconds
            if processes.birth(pid) == note["birth"]:
                self._say(f"Ending {name} (process {pid}) of an earlier start ...")
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, note["signal"])
            while processes.birth(pid) == note["birth"]:
                self._pause(deadline, f"{name} of an earlier start ({pid}) does not end.".format)
        for file in self._folder.glob("*.pid"):
            file.unlink()

    def start(self, *group: Process) -> None:
        """Start these together, and watch them from now on; they will be stopped together.

        Raises:
            LaunchError, OSError: one of them can never run here.
        """
        watched: list[_Watched] = []
        self._groups.append(watched)
        for process in group:
            watched.append(_Watched(process, started_at=time.monotonic()))
            process.start()
        self._note_births()

    def wait_until(
        self, condition: Callable[[], bool], *, seconds: float, otherwise: Callable[[], str]
    ) -> None:
        """Wait for `condition` while restarting what dies; `otherwise` explains a time-out.

        Raises:
            Interrupted: the launcher was told to stop.
            LaunchError: a process keeps dying, or the time is up.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self._tend()
            for watched in self._all():
                if watched.deaths >= DEATHS_AT_START:
                    raise LaunchError(f"{watched.process.name} {watched.problem}")
            self._pause(deadline, otherwise)

    def run(self, process: Process, seconds: float) -> None:
        """Run a process once, to its end, which must be a good one.

        Raises:
            Interrupted, LaunchError: as `wait_until`, or it failed.
        """
        process.start()
        try:
            self.wait_until(
                lambda: not process.is_running(),
                seconds=seconds,
                otherwise=lambda: f"{process.name} did not end within {seconds:.0f} s.",
            )
        finally:
            process.stop()
        if process.exit_code():
            raise LaunchError(f"{process.name} {process.last_words()}")

    def serve(self) -> None:
        """Restart what dies until the launcher is told to stop."""
        while not self._interrupts.count:
            self._tend()
            due = [each.restart_at for each in self._all() if each.restart_at is not None]
            # Every second also without a signal: a machine that slept may have missed a moment.
            self._interrupts.wait(max(0.0, min([1.0, *(at - time.monotonic() for at in due)])))

    def stop(self) -> None:
        """Stop everything; one more Ctrl-C from here on means no grace."""
        if self._groups:
            self._say("Stopping ...")
        asked = self._interrupts.count
        for group in reversed(self._groups):
            processes.stop_all(
                [watched.process for watched in reversed(group)],
                wait=self._interrupts.wait,
                hurried=lambda: self._interrupts.count > asked,
            )
            for watched in group:
                self._pid_file(watched.process).unlink(missing_ok=True)
        self._groups.clear()
        self._births.unlink(missing_ok=True)

    def _tend(self) -> None:
        for watched in self._all():
            if watched.restart_at is None and not watched.process.is_running():
                self._announce(watched, watched.process.last_words())
            if watched.restart_at is not None and watched.restart_at <= time.monotonic():
                self._restart(watched)

    def _restart(self, watched: _Watched) -> None:
        watched.started_at, watched.restart_at = time.monotonic(), None
        try:
            watched.process.start()
        except (OSError, LaunchError) as error:  # A full disk, for instance: it may pass.
            self._announce(watched, f"could not be started: {error}.")
        with contextlib.suppress(OSError):
            self._note_births()

    def _announce(self, watched: _Watched, problem: str) -> None:
        pause = watched.note_death(problem)
        when = f"in {pause:g} s" if pause else "now"
        self._say(f"{watched.process.name} {problem.splitlines()[0]} Restarting it {when}.")

    def _note_births(self) -> None:
        running = [each.process for each in self._all() if each.process.is_running()]
        for process in running:
            state.write_text(self._pid_file(process), f"{process.pid}\n")
        notes = {
            process.name: {
                "pid": process.pid,
                "birth": processes.birth(process.pid),
                "signal": int(process.death_signal),
            }
            for process in running
        }
        state.write(self._births, notes)

    def _pid_file(self, process: Process) -> Path:
        return self._folder / f"{process.name}.pid"

    def _all(self) -> Iterator[_Watched]:
        return (watched for group in self._groups for watched in group)

    def _pause(self, deadline: float, otherwise: Callable[[], str]) -> None:
        if self._interrupts.count:
            raise Interrupted
        if time.monotonic() > deadline:
            raise LaunchError(otherwise())
        self._interrupts.wait(POLL_SECONDS)
