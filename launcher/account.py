"""Whom PostgreSQL runs as: it refuses to be root, so that root starts it as `nobody`."""

import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from launcher import LaunchError

ROOTS_FOLDER = Path("/var/lib/quaver")
"""Where root keeps what `nobody` has to reach when it cannot enter root's own folders."""


class Account(NamedTuple):
    uid: int
    gid: int

    def may(self, path: Path, wanted: int) -> bool:
        """Whether all of the `wanted` bits (of 7: read, write, enter) are granted by the mode."""
        status = path.stat()
        if status.st_uid == self.uid:
            granted = status.st_mode >> 6
        elif status.st_gid == self.gid:
            granted = status.st_mode >> 3
        else:
            granted = status.st_mode
        return granted & wanted == wanted

    def reaches(self, path: Path) -> bool:
        """Whether every folder above `path` may be entered."""
        return all(self.may(folder, 0o1) for folder in path.resolve().parents)


def for_postgres(cluster: Path) -> Account | None:
    """The account for the data in `cluster`, or None for that of this very process.

    Raises:
        LaunchError: PostgreSQL could not run under it.
    """
    if os.geteuid() != 0:
        _require_passwd_entry(os.geteuid())
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        # Made by an earlier start, perhaps by an ordinary user's: it stays theirs.
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise LaunchError(
            "PostgreSQL refuses to run as root, and there is no user `nobody` to run it as: "
            "start Quaver as an ordinary user, or set DATABASE_URL to a server of yours."
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def _require_passwd_entry(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise LaunchError(
            f"PostgreSQL cannot run as user {uid}, who has no entry in /etc/passwd: "
            "add one, start Quaver as another user, or set DATABASE_URL to a server of yours."
        ) from None


def give_folder(folder: Path, account: Account | None) -> None:
    """Make `folder`, private to `account`, unless it is there.

    If the account cannot reach that place it becomes a link to a folder that it can reach.
    """
    if folder.exists():
        return
    folder.unlink(missing_ok=True)  # A link whose target was deleted.
    if account is None:
        folder.mkdir(mode=0o700)
    elif account.reaches(folder):
        folder.mkdir(mode=0o700)
        os.chown(folder, account.uid, account.gid)
    else:
        _open_roots_folder()
        # Never one that was there before: it may hold the data of a folder that has moved.
        target = Path(tempfile.mkdtemp(prefix="data-", dir=ROOTS_FOLDER))
        os.chown(target, account.uid, account.gid)
        folder.symlink_to(target)


def reachable_programs(package: Path, libraries: Path, version: str, account: Account) -> Path:
    """`package`, or a copy of it and its `libraries` if `account` cannot read the original."""
    probes = [package / "pginstall" / "bin" / "initdb", package / "pginstall/share/postgres.bki"]
    if all(account.reaches(probe) and account.may(probe, 0o4) for probe in probes):
        return package
    _open_roots_folder()
    copy = ROOTS_FOLDER / f"postgresql-{version}"
    if not copy.exists():
        with tempfile.TemporaryDirectory(prefix=".copy-", dir=ROOTS_FOLDER) as part:
            whole = Path(part) / copy.name
            for source in (package, libraries):
                if source.exists():
                    shutil.copytree(source, whole / source.name, symlinks=True)
            _open_to_all(whole)
            try:
                whole.rename(copy)
            except OSError:
                if not copy.exists():  # Else another start was faster, and made the same.
                    raise
    return copy / package.name


def _open_roots_folder() -> None:
    ROOTS_FOLDER.mkdir(parents=True, exist_ok=True)
    ROOTS_FOLDER.chmod(0o755)


def _open_to_all(top: Path) -> None:
    """Let everybody read, and enter or run what the owner may, whatever the umask was."""
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            runnable = path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runnable else 0o644)
