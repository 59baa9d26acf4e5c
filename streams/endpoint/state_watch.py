"""Following what another process counts into a state directory."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from state.catalogue_store import stamp
from state.directory import KINDS
from state.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.endpoint.embedded_answers import EmbeddedAnswers, Prepared
    from streams.engine.embedded import Embedded

LOOKED_AT_EVERY_S = 0.3
TIMES_AS_LONG = 4
"""Between two openings, of the last one. Opening holds up who commits, so that this is by a fifth at most."""
logger = logging.getLogger(__name__)


class StateWatch:
    """Has a state opened again whenever its directory has changed, and answers from it.

    Args:
        state_dir: the directory.
        answers: answers from it.
        opened: opens it to read.
    """

    def __init__(self, state_dir: Path, answers: EmbeddedAnswers, opened: Callable[[], Embedded]) -> None:
        self._state_dir = state_dir
        self._answers = answers
        self._opened = opened
        self._complaint = ""

    async def run(self) -> None:
        """Follow it until cancelled."""
        seen, took_s = self._stamp(), 0.0
        while True:
            await asyncio.sleep(max(LOOKED_AT_EVERY_S, TIMES_AS_LONG * took_s))
            now = self._stamp()
            if now == seen:
                continue
            begun = time.monotonic()
            try:
                self._answers.replace(await asyncio.to_thread(self._prepared))
            except StateError as error:  # it is being made again, or deleted: looked at again in the next round
                self._complain(str(error))
            else:
                seen, self._complaint = now, ""
            took_s = time.monotonic() - begun

    def _prepared(self) -> Prepared:
        embedded = self._opened()
        try:
            return self._answers.prepared(embedded)
        except BaseException:
            embedded.close()
            raise

    def _stamp(self) -> list[object]:
        """What changes whenever one of the stores is written to."""
        stores = (path for kind in KINDS for path in self._state_dir.glob(f"{kind}-*"))
        return [stamp(path) for path in sorted(stores)]

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            logger.warning("%s; answers are as before", text)
