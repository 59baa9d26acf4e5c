"""`alsobought serve` beside a replay, and with orders that are sent to it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

from producers.synthetic import SyntheticShop
from state.directory import StateDirectory
from streams.engine.embedded import open_to_read, settings_of
from tests.commands import COMMAND, output_of, refused
from tests.served import Served, serving
from tests.streamed import histories, popularity
from tests.workers import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOKEN = "let-me-in-please"  # noqa: S105 - a test's
KILLS = 8


def write_log(path: Path, orders: int) -> int:
    """Write orders of a shop; return their lines."""
    lines = 0
    with path.open("wb") as file:
        for order in SyntheticShop(seed=3).orders(orders):
            file.write(order.encode() + b"\n")
            lines += len(order.items)
    return lines


def counted(server: Served) -> int:
    """Order lines that answers stand for."""
    lines: int = server.document("v1/bestsellers")["as_of"]["lines"]
    return lines


def standing(server: Served) -> str:
    """What the server says of itself in its first event."""
    with urllib.request.urlopen(f"{server.url}v1/events", timeout=10) as stream:  # noqa: S310 - our own
        while not (line := stream.readline()).startswith(b"data: "):
            pass
    state: str = json.loads(line.removeprefix(b"data: "))["state"]
    return state


def test_a_watched_state_follows_a_replay(tmp_path: Path) -> None:
    """Before, answers stayed as they were when the server was started, and nothing said so."""
    log, state = tmp_path / "orders.jsonl", tmp_path / "shop"
    write_log(log, 300)
    output_of("replay", log, "--state-dir", state)
    with serving(state, "--watch") as server:
        assert standing(server) == "following"
        command = [COMMAND, "replay", str(log), "--state-dir", str(state), "--commit-lines", "50"]
        for orders in (15_000, 30_000, 60_000):  # a busy machine may not look while the first is counted
            first, lines, seen = counted(server), write_log(log, orders), set()
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as replaying:
                while replaying.poll() is None:
                    seen.add(counted(server))
                    time.sleep(0.05)
            assert replaying.returncode == 0
            if seen - {first, lines}:
                break
        wait_until("all of it is counted", lambda: counted(server) == lines)
        item = server.document("v1/bestsellers")["bestsellers"][0]["item_id"]
        related = server.document(f"v1/items/{item}/related?limit=10")
        server.stopped()

    assert min(seen) == first
    assert seen - {first, lines}, "it should be followed while it runs, not only at its end"
    stored = json.loads(output_of("related", item, "--state-dir", state, "--limit", "10", "--json"))
    assert related["exact"] is True
    assert related["related"] == stored["related"]


def test_readers_see_all_stores_at_one_position_while_a_replay_commits(tmp_path: Path) -> None:
    """A commit writes four stores, one after the other."""
    log, state = tmp_path / "orders.jsonl", tmp_path / "shop"
    write_log(log, 2000)
    command = [COMMAND, "replay", str(log), "--state-dir", str(state), "--commit-lines", "50", "--item-partitions", "3"]
    positions = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as replaying:
        wait_until("it counts", lambda: settings_of(state) is not None)
        while replaying.poll() is None:
            embedded = open_to_read(state)
            assert {counts.purchases_offset_sum for counts in embedded.counts} == {embedded.purchases_offset}
            positions.append(embedded.purchases_offset)
            embedded.close()
    assert replaying.returncode == 0
    assert len(set(positions)) > 3


def test_a_stopped_state_is_not_called_live(tmp_path: Path) -> None:
    log, state = tmp_path / "orders.jsonl", tmp_path / "shop"
    write_log(log, 50)
    output_of("replay", log, "--state-dir", state)

    with serving(state) as server:
        assert standing(server) == "stopped"


def body(customer: str, *items: str, order_id: str | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    lines = [{"item_id": item} for item in items]
    named = {} if order_id is None else {"order_id": order_id}
    return {"customer_id": customer, "timestamp": "2026-01-01T10:00:00Z", "lines": lines} | named | more


def test_orders_are_counted_when_they_are_answered(tmp_path: Path) -> None:
    state = tmp_path / "shop"
    with serving(state, "--write", ALSOBOUGHT_ADMIN_TOKEN=TOKEN) as server:
        assert standing(server) == "live"
        for customer in ("ann", "bob", "cat"):
            sent = server.asked("v1/orders", body(customer, "tea", "milk", order_id=customer), token=TOKEN)
            assert sent.status == 202
            assert server.document(f"v1/customers/{customer}")["items_held"] == 2
        again = server.asked("v1/orders", body("cat", "tea", "milk", order_id="cat"), token=TOKEN)
        assert (sent.document["offset"], again.document["offset"]) == (2, 3)
        assert server.document("v1/items/tea")["buyers"] == 3
        assert server.document("v1/items/tea")["purchases"] == 3
        server.asked("v1/orders", body("dan", "soap", item_id=None), token=TOKEN)
        tea = server.document("v1/items/tea/related")
        assert [(entry["item_id"], entry["bought_together"]) for entry in tea["related"]] == [("milk", 3)]
        assert tea["exact"] is True

        assert server.asked("v1/customers/ann", method="DELETE", token=TOKEN).status == 202
        assert server.asked("v1/customers/ann").status == 404
        assert server.document("v1/items/tea")["buyers"] == 2
        server.stopped()

    assert "no difference" in output_of("audit", "--state-dir", state)
    other = tmp_path / "other"
    output_of("replay", tmp_path / "shop-orders", "--state-dir", other, "--as-it-stands")
    one, two = open_to_read(state), open_to_read(other)
    assert histories(one.histories) == histories(two.histories)
    assert popularity(one.counts[0]) == popularity(two.counts[0])
    one.close()
    two.close()


def test_what_cannot_be_counted_is_refused_and_kept(tmp_path: Path) -> None:
    """Whatever pairs are of: that is said when the state is made."""
    state = tmp_path / "shop"
    with serving(state, "--write", "--pairs", "order", ALSOBOUGHT_ADMIN_TOKEN=TOKEN) as server:
        assert server.asked("v1/orders", body("ann", "tea")).status == 401
        assert server.asked("v1/orders", body("ann", "tea"), token="wrong").status == 401  # noqa: S106 - a test's
        for bad in (body("", "tea"), body("ann"), body("ann", "tea", timestamp="yesterday"), "no JSON"):
            answer = server.asked("v1/orders", bad, token=TOKEN)
            assert answer.status == 400
            assert answer.document["detail"].startswith("the order cannot be counted: ")
        assert server.asked("v1/customers/nobody", method="DELETE", token=TOKEN).status == 404
        assert counted(server) == 0
        for _ in range(2):
            assert server.asked("v1/orders", body("ann", "tea", "milk"), token=TOKEN).status == 202
        assert server.document("v1/items/tea/related?pairs=order")["buyers"] == 2
        server.stopped()

    kept = [json.loads(line) for line in (state / "rejected.jsonl").read_text().splitlines()]
    assert [line["file"] for line in kept] == ["POST /orders"] * 4
    assert (tmp_path / "shop-orders" / "00001.jsonl").read_text().count("\n") == 2


def test_writing_needs_a_token_and_the_state_alone(tmp_path: Path) -> None:
    state = tmp_path / "shop"
    assert "ALSOBOUGHT_ADMIN_TOKEN" in refused("serve", "--state-dir", state, "--write")
    assert "omit --watch" in refused("serve", "--state-dir", state, "--write", "--watch", "--admin-token", TOKEN)
    assert "--write" in refused("serve", "--state-dir", state, "--log", tmp_path)
    assert "--write" in refused("serve", "--state-dir", state, "--pairs", "order")
    log = tmp_path / "orders.jsonl"
    write_log(log, 10)
    with serving(state, "--write", ALSOBOUGHT_ADMIN_TOKEN=TOKEN):
        assert "open in another process" in refused("replay", log, "--state-dir", state)


class Shopper(threading.Thread):
    """Sends orders one after the other, each until it is answered."""

    def __init__(self, name: str) -> None:
        super().__init__(daemon=True)
        self.customer = name
        self.server: Served | None = None
        self.answered = 0
        self.ended = False
        self.wrong: list[object] = []

    def run(self) -> None:
        number = 0
        while not self.ended:
            server = self.server
            try:
                assert server is not None
                order = body(self.customer, f"i{number}", "always", order_id=f"o{number}")
                answer = server.asked("v1/orders", order, token=TOKEN, timeout_s=5)
            except (OSError, AssertionError):
                time.sleep(0.02)
                continue
            if answer.status == 202:
                number += 1
                self.answered = number
            elif answer.status != 503:
                self.wrong.append(answer)
                return


def answered_by(shoppers: Sequence[Shopper], orders: int) -> bool:
    """Whether so many orders were answered in all."""
    return sum(shopper.answered for shopper in shoppers) >= orders


def test_no_answered_order_is_lost_or_counted_twice_however_often_it_is_killed(tmp_path: Path) -> None:
    """SIGKILL while orders are written, synced, counted and answered; who got no answer sends the order again."""
    state, chance = tmp_path / "shop", random.Random(26)  # noqa: S311 - moments, not secrets
    shoppers = [Shopper(f"c{number}") for number in range(4)]
    for shopper in shoppers:
        shopper.start()
    for kill in range(KILLS + 1):
        with serving(state, "--write", ALSOBOUGHT_ADMIN_TOKEN=TOKEN) as server:
            for shopper in shoppers:
                shopper.server = server
            more = sum(shopper.answered for shopper in shoppers) + 1
            wait_until("orders are answered", partial(answered_by, shoppers, more), 30)
            time.sleep(chance.uniform(0, 0.4))
            if kill < KILLS:
                server.process.send_signal(signal.SIGKILL)
                continue
            for shopper in shoppers:
                shopper.ended = True
            for shopper in shoppers:
                shopper.join(20)
            held = {each.customer: server.document(f"v1/customers/{each.customer}?limit=10000") for each in shoppers}
            always = server.document("v1/items/always")
            server.stopped()

    assert [shopper.wrong for shopper in shoppers] == [[]] * len(shoppers)
    for shopper in shoppers:
        assert shopper.answered > KILLS
        # the last one may have been counted without an answer
        assert held[shopper.customer]["items_held"] - 1 in (shopper.answered, shopper.answered + 1)
        history = {entry["item_id"]: entry["purchases"] for entry in held[shopper.customer]["history"]}
        assert history.pop("always", None) == held[shopper.customer]["items_held"] - 1
        assert set(history.values()) == {1}
    assert always["purchases"] == sum(one["items_held"] - 1 for one in held.values())
    assert "no difference" in output_of("audit", "--state-dir", state)


def test_a_worker_s_directory_is_asked_for_by_url(tmp_path: Path) -> None:
    """What runs, and changes, is not to be read beside it; a stopped worker's generation may be looked at."""
    with StateDirectory(tmp_path, "live") as directory:
        directory.lock()
        for path in (tmp_path, tmp_path / "live"):
            for command in (("serve",), ("serve", "--watch"), ("related", "tea"), ("audit",)):
                assert "--url http://HOST:PORT" in refused(*command, "--state-dir", path)
    assert f"{tmp_path / 'live'}" in refused("audit", "--state-dir", tmp_path)
    assert "holds no state" in refused("audit", "--state-dir", tmp_path / "live")
