"""Strangers among live workers: at /internal/, and with another secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streams.workers.cluster.peers import LISTS_PATH, MSGPACK, RECOMMENDATIONS_PATH, ListsQuestion, encode
from streams.workers.cluster.signatures import SIGNATURE, Signer
from streams.workers.kafka.topics import read_identities
from tests.live_workers import LiveShop, ask, live_shop, of_item
from tests.workers import WorkerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.brokers import Broker


@pytest.fixture(scope="module")
def shop(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    with live_shop(kafka.bootstrap, "strangers", tmp_path_factory.mktemp("workers")) as shop:
        yield shop


def test_lists_and_histories_are_not_for_strangers(shop: LiveShop) -> None:
    question = encode(ListsQuestion(["tea"]))
    for worker in shop.two:
        foreign = Signer.of_one().sign_request("POST", LISTS_PATH, question, worker.admin)
        for path in (LISTS_PATH, RECOMMENDATIONS_PATH, "/internal/nothing"):
            for headers in ({}, {SIGNATURE: foreign}, {SIGNATURE: "x"}):
                response = ask(worker, path, "POST", question, {"Content-Type": MSGPACK, **headers})
                assert response.status == 401, (path, headers)


def test_who_may_describe_the_topics_is_a_worker_unless_there_is_a_secret(shop: LiveShop) -> None:
    """What the key is derived from: another way to derive it would refuse this question."""
    worker = shop.workers[0]
    logs = read_identities(shop.broker, shop.topics)
    ids = [logs[role].log_id for role in ("purchases", "co-purchases")]
    question = encode(ListsQuestion([]))
    signature = Signer.of_topics(ids).sign_request("POST", LISTS_PATH, question, worker.admin)

    response = ask(worker, LISTS_PATH, "POST", question, {"Content-Type": MSGPACK, SIGNATURE: signature})

    assert len(set(ids)) == 2
    assert response.status == 200
    assert response.headers[SIGNATURE]


def test_workers_of_another_secret_are_not_believed(kafka: Broker, tmp_path: Path) -> None:
    """They count, but what they answer is not used: that is said, rather than passed on."""
    with live_shop(kafka.bootstrap, "other-secret", tmp_path, workers=1) as shop:
        first = shop.workers[0]
        options = ("--worker-secret", "another secret of workers")
        with WorkerProcess(shop.broker, shop.topics, tmp_path / "other", *options) as other:
            items = ["tea", "milk", "soap", *(f"odd{number}" for number in range(7))]

            def statuses() -> set[int]:
                return {ask(first, of_item(item_id)).status for item_id in items}

            wait_until("some partitions are with the other", lambda: statuses() == {200, 503}, workers=[first, other])
            refused = next(answer for item in items if (answer := ask(first, of_item(item))).status == 503)
            assert "without the signature of a worker" in refused.document["detail"]
            assert "--worker-secret" in refused.document["detail"]
