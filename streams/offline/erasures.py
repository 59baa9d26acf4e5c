"""The customers that were erased from a state: kept so that no log brings them back, without saying who they are.

An erasure that a log holds is in the log, and is counted with it. One that was asked for otherwise is kept by the
state, as a keyed digest of the customer's id and the time up to which orders are erased. Orders of that customer up to
that time are left out wherever they are read again: in this state, and in another that is given the list.

The key is random, of the state, and part of the list: the digests of two states differ, and can be looked up in no
table. Whoever has the list can test whether an id that they know is in it, which is what it is for.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from producers.errors import LogError
from producers.orders import kept
from streams.offline.rejects import Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from producers.log_format import LogFormat
    from producers.logs.grouping import LogBatch

_NAME = "erased/"
_KEY_BYTES = 16


class Erasure(msgspec.Struct, forbid_unknown_fields=True):
    """An erasure: a line of a list of them.

    Attributes:
        key: with which the digest is made, in hexadecimal.
        digest: of the customer's id, in hexadecimal.
        until_ms: up to when orders are erased, milliseconds since 1970 UTC.
    """

    key: str
    digest: str
    until_ms: int


class Erasures:
    """The erasures that a state keeps.

    Args:
        documents: of the state.

    Attributes:
        lines: order lines that were left out.
    """

    def __init__(self, documents: Mapping[str, bytes]) -> None:
        self.lines = 0
        self._until: dict[str, dict[str, int]] = {}
        self._unstored: dict[str, bytes] = {}
        for name, document in documents.items():
            if name.startswith(_NAME):
                key, _, digest = name.removeprefix(_NAME).partition("/")
                self._until.setdefault(key, {})[digest] = int(document)

    def __bool__(self) -> bool:
        return bool(self._until)

    def __iter__(self) -> Iterator[Erasure]:
        for key, until in self._until.items():
            for digest, until_ms in until.items():
                yield Erasure(key, digest, until_ms)

    def until(self, customer_id: str) -> int:
        """Up to when a customer's orders are erased; -1: none are."""
        return max((until.get(_digest(key, customer_id), -1) for key, until in self._until.items()), default=-1)

    def add(self, customer_id: str, until_ms: int) -> None:
        """Erase a customer's orders up to a time."""
        key = next(iter(self._until), "") or secrets.token_hex(_KEY_BYTES)
        self._put(Erasure(key, _digest(key, customer_id), until_ms))

    def take(self, path: Path, customers: Iterable[str]) -> None:
        """Take over a list of erasures.

        Args:
            path: a line each, as `alsobought erasures` writes them.
            customers: those in the state now.

        Raises:
            LogError: the list cannot be read, or the state holds one of the customers already.
        """
        try:
            found = [msgspec.json.decode(line, type=Erasure) for line in path.read_bytes().splitlines() if line.strip()]
            new = [one for one in found if self._until.get(one.key, {}).get(one.digest, -1) < one.until_ms]
            by_key = {one.key: {other.digest for other in new if other.key == one.key} for one in new}
            there = sum(_digest(key, name) in digests for name in customers for key, digests in by_key.items())
        except OSError as error:
            raise LogError(f"{path} cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise LogError(f"{path} is not a list of erasures, as `alsobought erasures` writes it: {error}") from None
        if there:
            raise LogError(
                f"{path} names {there:,} customers whose orders this state has counted: give the list to a new "
                "--state-dir, or erase them here (alsobought erase)"
            )
        for one in new:
            self._put(one)

    def _put(self, erasure: Erasure) -> None:
        self._until.setdefault(erasure.key, {})[erasure.digest] = erasure.until_ms
        self._unstored[f"{_NAME}{erasure.key}/{erasure.digest}"] = str(erasure.until_ms).encode()

    def unstored(self) -> dict[str, bytes]:
        """Documents that the next commit is to store; they are given once."""
        documents, self._unstored = self._unstored, {}
        return documents

    def left_out(self, batch: LogBatch, format_at: Callable[[int], LogFormat]) -> LogBatch:
        """A batch without orders that are erased; its rejected lines no longer say what an erased customer ordered."""
        if not self._until:
            return batch
        orders = batch.orders
        until = np.array([self.until(name) for name in orders.customers] or [-1], np.int64)
        keep = orders.time > until[orders.customer]
        rejected = []
        for line in batch.rejected:
            settled = msgspec.json.decode(format_at(line.position).to_json())
            reject = Reject(file="", reason="", record=line.record, row=line.position, form=line.form, format=settled)
            erased = (customer := reject.customer()) is not None and self.until(customer) >= 0
            rejected.append(
                line._replace(record="", reason=f"{line.reason}; of an erased customer") if erased else line
            )
        if not keep.all():
            self.lines += int(np.maximum(np.diff(orders.start), 1)[~keep].sum())
            orders = kept(orders, keep)
        return batch._replace(orders=orders, rejected=rejected)


def _digest(key: str, customer_id: str) -> str:
    return blake2b(customer_id.encode(), digest_size=16, key=bytes.fromhex(key)).hexdigest()
