"""Related lists as JSON, cached until the list or the catalogue changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import xxhash

from state.names import NOWHERE
from streams.catalogue.conditions import boosts_of
from streams.endpoint.answer_documents import related_entries
from streams.endpoint.requests import LONGEST_LIST
from streams.recommendations.leaders import first_of_groups

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from state.names import Names
    from state.related_store import StoredList
    from streams.catalogue.catalogue import Catalogue
    from streams.catalogue.conditions import Condition, Mask
    from streams.endpoint.requests import RelatedRequest
    from streams.recommendations.leaders import GroupOf

    Indices = npt.NDArray[np.int64]
    Kind = tuple[object, ...]
    """What is cached of a list: the part of a request that its entries depend on."""

ROOM_BYTES = 32 << 20  # some 6,000 lists of 5 KB; half of all requests are for a few hundred items
KINDS_IN_MEMORY = 64
"""Of one item: visitors may ask for any limit, fields and conditions."""
LONGEST_CACHED_CONDITIONS = 200
_OVERHEAD_BYTES = 1000  # of an entry of the cache beside its document


class Entries(NamedTuple):
    """The first available entries of a list."""

    document: msgspec.Raw
    """A JSON array."""
    version: str
    """Equal for equal entries of the same item."""
    more: dict[str, Any]
    """`next_offset` if there are more entries, or `cut` if lists are no longer."""


class ListEntries:
    """Entries of related lists, cached by item and what is asked of it; the items cached first are dropped first.

    Args:
        names: ids of the numbers in the lists.
        catalogue: titles and availability.
        room_bytes: how large the cached documents may be together.
    """

    def __init__(self, names: Names, catalogue: Catalogue, room_bytes: int = ROOM_BYTES) -> None:
        self._names = names
        self._catalogue = catalogue
        self._room_bytes = room_bytes
        self._cached: dict[int, dict[Kind, Entries]] = {}
        self._cached_bytes = 0
        self._version = catalogue.version

    def cached(self, number: int, request: RelatedRequest) -> Entries | None:
        """The cached entries of an item's list, if they are still valid."""
        if self._version != self._catalogue.version:
            self.forget_all()
            self._version = self._catalogue.version
        kinds = self._cached.get(number)
        return None if kinds is None else kinds.get(_kind(request))

    def keep(self, number: int, request: RelatedRequest, entries: Entries) -> None:
        """Cache entries of a list, unless they depend on conditions that are long."""
        conditions = (request.category or "", *request.where, *request.where_not, *request.boost)
        if sum(map(len, conditions)) > LONGEST_CACHED_CONDITIONS:
            return
        if len(self._cached.get(number, ())) >= KINDS_IN_MEMORY:
            self.forget(number)
        kinds = self._cached.setdefault(number, {})
        kind = _kind(request)
        if kind not in kinds:
            kinds[kind] = entries
            self._cached_bytes += _size(entries)
        while self._cached_bytes > self._room_bytes:
            self.forget(next(iter(self._cached)))

    def of_published(self, number: int, stored: StoredList, request: RelatedRequest) -> Entries | None:
        """The entries of a published list; None if items beyond it may be admitted, and belong in these entries.

        A list that has fewer entries than lists may have is all that there is.
        """
        if len(stored.item) < LONGEST_LIST:
            return self.of_admitted(number, stored, request)
        if request.boost:
            return None
        admitted = self._admitted(number, stored, request)
        if len(admitted.item) < min(request.offset + request.limit + 1, LONGEST_LIST):  # one more says there are more
            return None
        return self.of_chosen(number, admitted, request, whole=False)

    def of_admitted(self, number: int, stored: StoredList, request: RelatedRequest) -> Entries:
        """The entries of a list, those of items that are admitted."""
        return self.of_chosen(number, self._admitted(number, stored, request), request, whole=True)

    def _admitted(self, number: int, stored: StoredList, request: RelatedRequest) -> StoredList:
        """The entries that are admitted, the best of each group, by their scores as they are boosted."""
        item_ids = self._names.texts(stored.item.tolist())
        hidden = self._catalogue.hidden
        shown = np.array([not hidden(item_id, in_stock=request.in_stock) for item_id in item_ids], np.bool_)

        def test(condition: Condition) -> Mask:
            return np.array([self._catalogue.holds(condition, item_id) for item_id in item_ids], np.bool_)

        places = np.flatnonzero(request.admitted(shown, test))
        boost = boosts_of(request.boost, test, len(item_ids))
        if boost is not None:
            stored = stored._replace(score=stored.score * boost)
            places = places[np.argsort(-stored.score[places], kind="stable")]
        if self._catalogue.grouped:
            group_of, own = self._catalogue.group_of, self._catalogue.group_of(self._names.text(number))
            of_item = {item: group_of(item_id) for item, item_id in zip(stored.item.tolist(), item_ids, strict=True)}
            others = [own is None or of_item[item] != own for item in stored.item[places].tolist()]
            places = places[np.array(others, np.bool_)]
            places = places[first_of_groups(stored.item[places], len(places), of_item.get)]
        return stored.taken(places)

    @property
    def groups(self) -> GroupOf | None:
        """The group of an item number, of which lists show one item; None: no item has one."""
        if not self._catalogue.grouped:
            return None
        group_of, text = self._catalogue.group_of, self._names.text
        return lambda number: group_of(text(number))

    def siblings(self, numbers: Iterable[int]) -> Indices:
        """Numbers of the items that share a group with any of these, themselves included; any thread may ask."""
        siblings = self._catalogue.siblings
        found = self._names.find([other for number in numbers for other in siblings(self._names.text(number))])
        known: Indices = found[found != NOWHERE].astype(np.int64)
        return known

    def of_chosen(self, number: int | None, stored: StoredList, request: RelatedRequest, *, whole: bool) -> Entries:
        """The entries of a list of admitted items.

        Args:
            number: of the item whose list it is; None: only the catalogue knows it.
            stored: the list.
            request: which of them are asked for.
            whole: whether no item beyond the list is related.
        """
        page = slice(request.offset, request.offset + request.limit)
        stored, length = stored.taken(page), len(stored.item)
        item_ids = self._names.texts(stored.item.tolist())
        document = msgspec.json.encode(related_entries(item_ids, stored, self._catalogue, request.fields))
        item_id = b"" if number is None else self._names.text(number).encode()
        more: dict[str, Any] = {"next_offset": page.stop} if page.stop < length else {}
        if not more and not whole and length >= LONGEST_LIST:
            more = {"cut": True}
        version = xxhash.xxh3_64_hexdigest(item_id + b"\0" + document + (b"+" if more else b""))
        return Entries(msgspec.Raw(document), version, more)

    def forget(self, number: int) -> None:
        """Drop the entries of an item whose list has changed."""
        dropped = self._cached.pop(number, {})
        self._cached_bytes -= sum(map(_size, dropped.values()))

    def forget_all(self) -> None:
        """Drop all entries: every list may have changed."""
        self._cached.clear()
        self._cached_bytes = 0


def _kind(request: RelatedRequest) -> Kind:
    conditions = request.category, request.where, request.where_not, request.boost, request.in_stock
    return request.limit, request.offset, request.fields, *conditions


def _size(entries: Entries) -> int:
    return _OVERHEAD_BYTES + memoryview(entries.document).nbytes
