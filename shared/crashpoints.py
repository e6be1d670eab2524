"""Points at which a process dies if a test wants it to, as by `kill -9`.

A point's name says what has just happened, and what has not yet. `reach` is called there; it does
nothing unless the process was started with `CRASH_POINTS`, a folder, and a file of the point's name
is in it. The file is removed first: a point strikes once, and whoever goes on gets further.
"""

import os
import signal
from pathlib import Path
from typing import Literal, get_args

Point = Literal[
    # In the API, while it takes in an upload.
    "upload-begun",  # Some of its bytes are written.
    "upload-written",  # All are; the system may still hold them in memory.
    "upload-synced",  # They are on disk, under the name of what is arriving.
    "upload-renamed",  # They have their name; the database does not know of them.
    "piece-stored",  # In a bucket there is a piece of it, and it is not committed.
    "upload-ended",  # It is committed there; the database does not know of it.
    # In the API, with whatever is asked for.
    "job-created",  # Its row is written; no COMMIT.
    "job-accepted",  # It is committed; no hint.
    "hint-sent",  # The client waits.
    "outcome-read",  # The job has ended; no answer.
    # In a worker.
    "hint-received",  # The job is not claimed.
    "job-claimed",  # Nothing of it is done.
    "work-begun",  # Some of it is done.
    "work-done",  # All of it is done, and nothing is in the database.
    "end-written",  # What the job leaves behind is written, and its end; no COMMIT.
    "join-written",  # The same for a recording whose segments are joined.
    "split-written",  # The segments' jobs are written; no COMMIT.
    "job-ended",  # That is committed; nobody is told.
    "job-failed",  # Its failure is committed; nobody is told.
    "job-split",  # The segments' jobs are committed; no hint.
    "parent-queued",  # The last segment's end is committed; no hint for the whole recording.
    "mp3-stored",  # The upload is still there.
    # In the sweep.
    "job-rescued",  # It is queued again; no hint.
    "hint-due",  # The job counts as hinted anew; no hint.
]
NAMES: tuple[Point, ...] = get_args(Point)

_folder: Path | None = None


def arm(folder: Path | None) -> None:
    """Have this process, and those it forks, look for wishes in a folder; None: they serve."""
    global _folder  # noqa: PLW0603 - A kill concerns the whole process.
    _folder = folder


def reach(point: Point) -> None:
    """Die here if a test wants that."""
    if _folder is not None:
        _strike(_folder / point)


def _strike(wish: Path) -> None:
    try:
        wish.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
