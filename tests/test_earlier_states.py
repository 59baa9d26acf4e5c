"""Histories that versions before format 3 wrote: they open as they are, and are completed in place, killed or not."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from state.columns import pack_ids
from state.errors import SettingsMismatch
from state.rocks import Rocks, WriteBatch
from state.settings import CountingSettings
from streams.engine.stages import count_orders, open_histories
from tests.batch_definition import Order
from tests.log_strategies import BEGIN_MS, as_orders
from tests.streamed import histories
from tests.test_histories_on_demand import shop

if TYPE_CHECKING:
    from pathlib import Path

    from state.history_store import HistoryStore

SETTINGS = CountingSettings()
ORDERS = 4_000
OPENING = """
import sys
from pathlib import Path
from state import stored_names
from state.rocks import Rocks
from state.settings import CountingSettings
from state.history_store import HistoryStore

stored_names._ROWS_AT_ONCE = 40
write = Rocks.write

def speaking(rocks, batch):
    write(rocks, batch)
    print("written", flush=True)
    sys.stdin.readline()

Rocks.write = speaking
HistoryStore(Path(sys.argv[1]), CountingSettings()).close()
"""


def write_as_earlier(path: Path) -> None:
    """Give a store the layout of format 2: no rows id -> number, and the item ids of a commit in one row."""
    rocks = Rocks(path)
    batch = WriteBatch(raw_mode=True)
    items = [record.decode() for _, record in rocks.scan(b"i")]
    for prefix in (b"i", b"I", b"N", b"mnames"):
        for key, _ in rocks.scan(prefix):
            batch.delete(key)
    for first in range(0, len(items), 70):
        batch.put(struct.pack(">cI", b"i", first), pack_ids(items[first : first + 70]))
    settings = json.loads(rocks.get(b"msettings") or b"")
    batch.put(b"msettings", json.dumps(settings | {"format": 2}).encode())
    rocks.write(batch)
    rocks.close()


def counted(path: Path) -> HistoryStore:
    """A store in which two customers were erased, one of them the newest, so that nothing tells of the last number."""
    store = open_histories(path, SETTINGS)
    count_orders(store, 0, shop(ORDERS, 300, 200), ORDERS)
    ids = dict(store.customers.every())
    for number in (7, len(ids) - 1):
        erased = as_orders([Order(ids[number], BEGIN_MS, (), None, "erase")], store.purchases_offset)
        count_orders(store, 0, erased, store.purchases_offset + 1)
    return store


@pytest.fixture(name="wanted")
def _wanted(tmp_path: Path) -> dict[str, object]:
    """What the store `histories-0` of an earlier version holds."""
    with closing(counted(tmp_path / "histories-0")) as store:
        assert (len(store.customers), len(store.items)) == (300, 200)
        found: dict[str, object] = dict(histories(store))
    write_as_earlier(tmp_path / "histories-0")
    return found


def test_an_earlier_state_opens_read_only_as_it_is(tmp_path: Path, wanted: dict[str, object]) -> None:
    """A query must not have to write, and finds it the same however often it asks."""
    for _ in range(2):
        with closing(open_histories(tmp_path / "histories-0", SETTINGS, read_only=True)) as store:
            assert histories(store) == wanted
            assert (len(store.customers), len(store.items)) == (300, 200)
            assert all(customer in store.customers for customer in wanted)
            assert len(dict(store.customers.every())) == 298


def test_an_earlier_state_that_is_written_to_goes_on_as_one_of_today(tmp_path: Path, wanted: dict[str, object]) -> None:
    """A customer who was erased and comes back is a new one; everybody else keeps the number."""
    with closing(counted(tmp_path / "today")) as today:
        more = shop(500, 320, 210, ORDERS + 2)
        expected = count_orders(today, 0, more, ORDERS + 502)[1]

        with closing(open_histories(tmp_path / "histories-0", SETTINGS)) as store:
            assert histories(store) == wanted
            assert count_orders(store, 0, more, ORDERS + 502)[1] == expected
            assert histories(store) == histories(today)

    rocks = Rocks(tmp_path / "histories-0", read_only=True)
    assert json.loads(rocks.get(b"msettings") or b"")["format"] == 3
    rocks.close()


def test_a_completion_that_is_killed_goes_on_at_the_next_start(tmp_path: Path, wanted: dict[str, object]) -> None:
    """After the settings, and after some of its batches; what a killed start wrote is not lost or written again."""
    command = [sys.executable, "-c", OPENING, str(tmp_path / "histories-0")]
    for writes in (1, 3, 4):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        for write in range(writes):
            if write:
                process.stdin.write("\n")
                process.stdin.flush()
            assert process.stdout.readline() == "written\n"
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()

    with closing(open_histories(tmp_path / "histories-0", SETTINGS, read_only=True)) as store:
        assert not store.items.is_complete()
        assert store.customers.is_complete() or len(store.customers) == 300
        assert histories(store) == wanted
    with closing(open_histories(tmp_path / "histories-0", SETTINGS)) as store:
        assert histories(store) == wanted
        assert store.customers.is_complete()
        assert store.items.is_complete()


def test_other_settings_do_not_complete_an_earlier_state(tmp_path: Path, wanted: dict[str, object]) -> None:
    """Whoever mistypes an option has changed nothing."""
    with pytest.raises(SettingsMismatch, match="was written with pair window 100"):
        open_histories(tmp_path / "histories-0", CountingSettings(pair_window=7))

    rocks = Rocks(tmp_path / "histories-0", read_only=True)
    assert json.loads(rocks.get(b"msettings") or b"")["format"] == 2
    rocks.close()
    assert wanted
