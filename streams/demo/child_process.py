"""Processes that end when ours does, however it ends."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

STOP_TIMEOUT_S = 20.0


class ChildProcess:
    """A process whose output goes to a file; it dies with ours, even if ours is killed.

    Args:
        command: program and arguments.
        log: to which its output is appended.
        directory: in which it runs; ours if not given.
        environment: of the process; ours if not given.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as to:
            # in its own session, Ctrl-C does not reach it: we stop it cleanly
            self.child = subprocess.Popen(  # noqa: S603 - our own command line
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=to,
                stderr=to,
                start_new_session=True,
            )
        # When our process ends, however it ends, the pipe closes, and read returns. (PR_SET_PDEATHSIG would fire when
        # the thread that called us ends.)
        self.guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", 'read -r _; kill -KILL "$0"', str(self.child.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.child.poll() is None

    def last_words(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end(self, signum: signal.Signals = signal.SIGTERM) -> None:
        """Send `signum` and wait; SIGKILL after STOP_TIMEOUT_S."""
        self.guard.kill()
        self.guard.communicate()
        self.child.send_signal(signum)
        try:
            self.child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
