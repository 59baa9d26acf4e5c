"""Files of this user alone: states, snapshots and rejected lines hold customer ids."""

from __future__ import annotations

import logging
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

_NOBODY_ELSE = 0o077
_OWN_DIRECTORY = 0o700
_OWN_FILE = 0o600


def keep_private() -> None:
    """Have this process create files and directories that only its user can read.

    RocksDB's threads create files at any time, with the mode that the process's mask leaves.
    """
    os.umask(_NOBODY_ELSE)


def private_directory(path: Path) -> None:
    """Create a directory that only its user can read, or make one so that is there, as of an earlier version."""
    keep_private()
    path.mkdir(_OWN_DIRECTORY, parents=True, exist_ok=True)
    _close_to_others(path)


def append_privately(path: Path, text: bytes) -> None:
    """Append to a file that only its user can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _OWN_FILE), "ab") as file:
        _close_to_others(path)
        file.write(text)


def _close_to_others(path: Path) -> None:
    """Take the rights of others from a path, unless it belongs to another user, who decides about it."""
    found = path.stat()
    if found.st_mode & _NOBODY_ELSE and found.st_uid == os.geteuid():
        try:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_NOBODY_ELSE)
        except OSError as error:
            logger.warning("%s can be read by other users of this machine: %s", path, error.strerror)
