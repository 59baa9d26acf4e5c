"""Sends a log to the broker in the background, at a multiple of real time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from producers.publish import Pace, publish_logs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STOP_TIMEOUT_S = 20.0


class _Stopped(Exception):
    """Sending was stopped."""


class Sending:
    """Sends a log to a topic, in a thread.

    Args:
        broker: host:port.
        topic: of the orders.
        log: the file.
        columns: field -> column of the file.
        speed: how many times faster than the orders happened; None: as fast as possible.

    Attributes:
        orders, lines: sent so far.
        failure: why it ended early; None: it has not.
    """

    def __init__(self, broker: str, topic: str, log: Path, columns: Mapping[str, str], speed: float | None) -> None:
        self.orders = 0
        self.lines = 0
        self.failure: Exception | None = None
        self._stop = threading.Event()
        self._orders = publish_logs(
            broker, topic, [log], columns, pace=Pace(speed, sleep=self._sleep), stop=self._stop.is_set
        )
        self._thread = threading.Thread(target=self._run, name="sending", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether sending has ended, early or not."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop sending."""
        self._stop.set()
        self._thread.join(_STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            for sent in self._orders:
                self.orders, self.lines = sent.orders, sent.lines
        except _Stopped:
            return
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.failure = error

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise _Stopped
