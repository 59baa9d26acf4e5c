"""Events other than purchases are skipped, counted in their place, or kept as seeds, exactly as defined."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.wire import OrderDecoder
from state import history_store
from state.errors import SettingsMismatch, StateDamaged
from state.kept_events import Kept
from state.rocks import WriteBatch
from state.settings import CountingSettings
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.engine import events
from streams.engine.embedded import Embedded, settings_of
from streams.engine.events import events_read
from streams.engine.stages import count_orders, open_histories
from streams.recommendations.request import RecommendationRequest
from tests import batch_definition
from tests.batch_definition import Line, Order, State, batch
from tests.commands import output_of, refused
from tests.crashes import Crash
from tests.log_strategies import BEGIN_MS, CUSTOMERS, ITEMS, logs
from tests.recommendation_definition import recommendations
from tests.streamed import facts, streamed_facts
from tests.test_histories_on_demand import AMPLE, MEMORIES
from tests.test_recommend import agree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.orders import Orders
    from state.history_store import HistoryStore
    from tests.crashes import Crashes

WINDOW = 3
VIEWED = (*ITEMS, "ice", "jam", "kale")
"""Some of them nobody ever buys."""
TYPES = ("purchase", "view", "cart", "rating")
SEEDS = (("cart", 0.5), ("view", 0.2))
COUNTING = CountingSettings(WINDOW, seed_weights=SEEDS)

_events = st.builds(
    Order,
    st.sampled_from(CUSTOMERS),
    st.integers(0, 40).map(lambda number: BEGIN_MS + number // 2),  # many at the same time, and in no order
    st.lists(st.builds(Line, st.sampled_from(VIEWED)), min_size=1, max_size=3).map(tuple),
    type=st.sampled_from(["view", "view", "cart", "rating"]),
)


@st.composite
def event_logs(draw: st.DrawFn, max_size: int = 25) -> list[Order]:
    """Logs of purchases, returns and erasures, between which other events happen."""
    log = [replace(order, continued=False) for order in draw(logs(max_size=max_size))]
    for event in draw(st.lists(_events, max_size=max_size)):
        log.insert(draw(st.integers(0, len(log))), event)
    return log


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a few events of each customer, and write slices after a few orders."""
    monkeypatch.setattr(events, "MOST_KEPT", 4)
    monkeypatch.setattr(batch_definition, "EVENTS_KEPT", 4)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 2)


def record_of(order: Order) -> bytes:
    """The order as a record of the topic."""
    record: dict[str, object] = {"customer_id": order.customer_id, "timestamp": order.time, "type": order.type}
    if order.order_id is not None:
        record["order_id"] = order.order_id
    if order.type != "erase":
        record["lines"] = [{"item_id": line.item_id, "quantity": line.quantity} for line in order.lines]
    return msgspec.json.encode(record)


def read(log: Sequence[Order], begin: int, counting: CountingSettings) -> Orders:
    """Records of a log as a worker reads them."""
    positions = range(begin, begin + len(log))
    reader = FieldReader(LogFormat(**events_read(counting)))
    orders, _, rejected = OrderDecoder().decode(list(map(record_of, log)), positions, reader)
    assert rejected == []
    return orders


def kept_of(state: State) -> dict[str, list[tuple[str, str, int]]]:
    return {
        customer: [(event.item_id, event.type, event.time) for event in kept]
        for customer, kept in state.kept.items()
        if kept
    }


def kept_in(store: HistoryStore) -> dict[str, list[tuple[str, str, int]]]:
    assert store.kept_events is not None
    found = {}
    for number, customer in store.customers.every():
        kept = store.kept_events.of(np.array([number], np.uint32))
        ids = store.kept_events.items.texts(kept.item.tolist())
        types = [store.kept_events.types[place] for place in kept.type.tolist()]
        if ids:
            found[customer] = list(zip(ids, types, kept.time.tolist(), strict=True))
    return found


def count(store: HistoryStore, log: Sequence[Order], end: int, counting: CountingSettings = COUNTING) -> list[bytes]:
    begin = store.purchases_offset
    made = count_orders(store, 0, read(log[begin:end], begin, counting), end)[1]
    return [deltas.packed for deltas in made]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=event_logs(), data=st.data())
def test_kept_events_are_those_of_the_batch_definition_and_purchases_count_as_without(
    crashes: Crashes, tmp_path_factory: pytest.TempPathFactory, log: list[Order], data: st.DataObject
) -> None:
    """Whatever the commits, the memory, and the moments at which the process dies; deltas are the same to the byte."""
    directory = tmp_path_factory.mktemp("events")
    ends = [*sorted(data.draw(st.sets(st.integers(1, max(1, len(log) - 1))), label="commits")), len(log)]
    store = open_histories(directory / "with", COUNTING, memory=data.draw(MEMORIES))
    without = open_histories(directory / "without", CountingSettings(WINDOW), memory=AMPLE)
    for end in filter(lambda end: end > store.purchases_offset, ends):
        expected = count(without, log, end, CountingSettings(WINDOW))
        crash = data.draw(st.sampled_from([None, None, "before", "after"]), label="crash at the commit's write")
        if crash is not None:
            crashes.arm(1, after=crash == "after")
            with pytest.raises(Crash):
                count(store, log, end)
            crashes.arm(0, after=False)
            crashes.let_go()
            store = open_histories(directory / "with", COUNTING, memory=data.draw(MEMORIES))
            without = open_histories(directory / "without", CountingSettings(WINDOW), memory=AMPLE)
        if store.purchases_offset < end:
            assert count(store, log, end) == expected

        assert kept_in(store) == kept_of(batch(log[:end], WINDOW, seeds=dict(SEEDS)))
    crashes.let_go()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=event_logs(), counted=st.sampled_from(TYPES), cut=st.integers(3, 20))
def test_a_generation_counts_its_type_alone(log: list[Order], counted: str, cut: int) -> None:
    """Viewed together is what bought together would be, had all views been purchases; erasures are of all types."""
    counting = CountingSettings(WINDOW, events=counted)
    with TemporaryDirectory() as directory, closing(Embedded(Path(directory), counting)) as embedded:
        for begin in range(0, len(log), cut):
            end = min(begin + cut, len(log))
            embedded.count(read(log[begin:end], begin, counting), end)
        found = streamed_facts(embedded)

    expected = facts(batch(log, WINDOW, counted), log)
    own = [order for order in log if order.type == counted or (order.type == "return" and counted == "purchase")]
    assert found == expected | {"lines": sum(len(order.lines) for order in own)}


def shopper(*visits: tuple[str, str]) -> list[Order]:
    """A customer who does something to an item each minute."""
    return [
        Order("ann", BEGIN_MS + 60_000 * minute, (Line(item),) if item else (), type=kind)
        for minute, (kind, item) in enumerate(visits)
    ]


def test_a_customer_who_comes_back_after_an_erasure_has_only_what_happened_since(tmp_path: Path) -> None:
    """Within one commit too: the erasure forgets the customer's id, unless something of the customer is kept."""
    log = shopper(("view", "apple"), ("purchase", "bread"), ("erase", ""), ("view", "cake"))
    with closing(open_histories(tmp_path / "one", COUNTING)) as store:
        count(store, log, 4)
        assert kept_in(store) == {"ann": [("cake", "view", log[3].time)]}
        assert store.history(store.customers["ann"])[0].tolist() == []
    with closing(open_histories(tmp_path / "one", COUNTING)) as store:
        log += shopper(("erase", ""))
        count(store, log, 5)
        assert "ann" not in store.customers
        assert kept_in(store) == {}


def test_weights_change_freely_types_do_not(tmp_path: Path) -> None:
    """What is kept must be a function of the log; what it weighs is a question to what is kept."""
    log = shopper(("view", "apple"), ("purchase", "bread"))
    path = tmp_path / "histories-0"
    other = replace(COUNTING, seed_weights=(("cart", 0.1), ("view", 1.0)))
    with closing(open_histories(path, COUNTING)) as store:
        count(store, log, 1)
    with closing(open_histories(path, other)) as store:
        count(store, log, 2)
        assert len(kept_in(store)["ann"]) == 1

    assert settings_of(tmp_path) == other
    for weights, named in (((), "none"), ((("view", 0.2),), "view=0.2")):
        with pytest.raises(SettingsMismatch, match=f"seed weights cart=0.1,view=1, this run has {named}: set it back"):
            open_histories(path, replace(COUNTING, seed_weights=weights))
    with pytest.raises(SettingsMismatch, match="was written with events purchase, this run has view"):
        open_histories(path, replace(COUNTING, events="view"))


def test_a_state_that_counts_purchases_alone_is_one_of_versions_that_knew_no_events(tmp_path: Path) -> None:
    """An upgrade can be taken back as long as no new setting is used; then an earlier version must not open it."""
    for name, counting, written in (("plain", CountingSettings(), 3), ("new", COUNTING, 4)):
        with closing(Embedded(tmp_path / name, counting)) as embedded:
            embedded.count(read(shopper(("purchase", "apple")), 0, counting), 1)
            raw = embedded.histories._rocks.get(b"msettings") or b""
        assert msgspec.json.decode(raw)["format"] == written


def test_a_damaged_row_of_events_is_told(tmp_path: Path) -> None:
    with closing(open_histories(tmp_path / "histories-0", COUNTING)) as store:
        count(store, shopper(("view", "apple")), 1)
        assert store.kept_events is not None
        [(key, row)] = store._rocks.scan(b"k")
        everybody = np.zeros(1, np.uint32)
        for damage, told in ((row[:-1], "are cut off"), (b"\xff" + row[1:], "are garbled")):
            written = WriteBatch(raw_mode=True)
            written.put(key, damage)
            store._rocks.write(written)
            with pytest.raises(StateDamaged, match=f"the events of customer 0 {told}; restore a snapshot"):
                store.kept_events.of(everybody)


def test_no_events_keep_what_was_kept() -> None:
    columns = ([7, 9], [1, 1], [0, 0], [5, 6])
    kept = Kept(*(np.array(column, kind) for column, kind in zip(columns, ("u4", "u4", "u1", "i8"), strict=True)))

    again = events.keep_events(kept, events.EventLines(*(np.zeros(0, kind) for kind in ("u4", "u4", "u1", "i8"))))

    assert [column.tolist() for column in again] == [column.tolist() for column in kept]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=event_logs(), basket=st.lists(st.sampled_from(ITEMS), max_size=2, unique=True))
def test_kept_events_are_seeds_of_recommendations_and_reasons_say_so(log: list[Order], basket: list[str]) -> None:
    """They are not held, so what was viewed may be recommended."""
    state = batch(log, WINDOW, seeds=dict(SEEDS))
    counting = replace(COUNTING, item_partitions=2)
    with TemporaryDirectory() as directory, closing(Embedded(Path(directory), counting)) as embedded:
        embedded.count(read(log, 0, counting), len(log))
        list(embedded.publish())
        answers = EmbeddedAnswers(embedded)
        for customer in CUSTOMERS:
            known = tuple(item for item in basket if item in state.purchases)
            request = RecommendationRequest(customer_id=customer, basket=known, limit=20, reasons=100)
            document = msgspec.json.decode(msgspec.json.encode(asyncio.run(answers.recommendations(request))))
            everything = recommendations(state, customer, 1000, basket=known, weight_of=dict(SEEDS))

            agree(document["recommendations"], everything[:20], everything)
            type_of = {event.item_id: event.type for event in state.kept.get(customer, [])}
            held = {*state.histories.get(customer, {}), *known}
            for reason in (reason for entry in document["recommendations"] for reason in entry["because"]):
                if "item_id" in reason:
                    event = None if reason["item_id"] in held else type_of[reason["item_id"]]
                    assert reason.get("event") == event


def test_what_is_kept_of_a_customer_is_shown(tmp_path: Path) -> None:
    """A customer may ask what is stored."""
    log = shopper(("purchase", "bread"), ("view", "apple"), ("cart", "cake"))
    with closing(Embedded(tmp_path, COUNTING)) as embedded:
        embedded.count(read(log, 0, COUNTING), 3)
        answered = asyncio.run(EmbeddedAnswers(embedded).customer("ann", 10))
    document = msgspec.json.decode(msgspec.json.encode(answered))

    assert [(entry["item_id"], entry["type"]) for entry in document["events"]] == [("cake", "cart"), ("apple", "view")]
    assert document["events"][1]["timestamp"] == "2024-02-17T00:01:00Z"


LOG = """customer_id,item_id,timestamp,event
ann,tea,2024-01-01,Product Viewed
ann,tea,2024-01-02,Order Completed
ann,milk,2024-01-02,Order Completed
bob,tea,2024-01-03,Order Completed
bob,milk,2024-01-03,Product Viewed
bob,rye,2024-01-03,Product Rated
"""


def test_a_replay_reads_events_of_a_shop_and_says_what_it_skips(tmp_path: Path) -> None:
    log = tmp_path / "events.csv"
    log.write_text(LOG)

    bought = output_of("replay", log, "--state-dir", tmp_path / "bought", "--seed-weights", "product_viewed=0.2")
    viewed = output_of("replay", log, "--state-dir", tmp_path / "viewed", "--events", "product_viewed")

    assert "1 lines skipped, of types that are not counted here: 1 product_rated" in bought
    assert "4 lines skipped, of types that are not counted here: 3 order_completed, 1 product_rated" in viewed
    assert not (tmp_path / "bought" / "rejected.jsonl").exists()
    found = json.loads(output_of("customer", "bob", "--state-dir", tmp_path / "bought", "--json"))
    assert [entry["item_id"] for entry in found["history"]] == ["tea"]
    assert [entry["item_id"] for entry in found["events"]] == ["milk"]
    assert "written with events product_viewed" in refused(
        "replay", log, "--state-dir", tmp_path / "viewed", "--events", "cart"
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--events", "to cart"), "'to cart' is no event type: a type is a letter of a to z, and up to 31 more"),
        (("--events", "return"), "'return' is no event type: a return goes with purchases"),
        (("--seed-weights", "view"), "'view' has no weight: view=0.2"),
        (("--seed-weights", "view=much"), "'much' is no weight of view: a number from 0 to 100"),
        (("--seed-weights", "view=1,view=2"), "'view=2' is there twice: view=0.2"),
        (("--seed-weights", "purchase=2"), "--seed-weights names purchase, which is counted"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, given: tuple[str, str], told: str) -> None:
    assert told in refused("replay", tmp_path / "none.csv", "--state-dir", tmp_path / "state", *given)
