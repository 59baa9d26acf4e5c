"""Guessing the token: each client has a few tries, then waits longer and longer. What is remembered is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from streams.cli import main
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.problems import Problem
from streams.endpoint.tokens import FREE_FAILURES, LONGEST_WAIT_S, MOST_CLIENTS, TokenGuard
from tests.live_shop import TOKEN, open_shop
from tests.test_admin import ask, refused

if TYPE_CHECKING:
    from pathlib import Path


class Request:
    """The part of a request that is looked at: who sent it, and the token."""

    def __init__(self, remote: str, token: str) -> None:
        self.remote = remote
        self.headers = {"Authorization": f"Bearer {token}"}


class Guard:
    """A guard with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.guard = TokenGuard(TOKEN, clock=lambda: self.now)

    def status(self, token: str, remote: str = "10.0.0.7") -> int:
        """What a request with this token is answered; 200 if it is let in."""
        request: Any = Request(remote, token)
        try:
            self.guard.check(request)
        except Problem as problem:
            return int(problem.status)
        return 200


def test_after_several_wrong_tokens_even_the_right_one_has_to_wait() -> None:
    """Otherwise every guess would be checked after all."""
    guard = Guard()
    assert [guard.status(f"guess {number}") for number in range(FREE_FAILURES)] == [401] * FREE_FAILURES

    assert guard.status(TOKEN) == 429
    guard.now += 1.01
    assert guard.status(TOKEN) == 200
    assert guard.status("guess") == 401, "a right token clears the record"


def test_an_hour_of_guessing_yields_some_seventy_guesses() -> None:
    guard = Guard()
    checked = 0
    for second in range(3600):
        guard.now = float(second)
        checked += sum(guard.status("guess") == 401 for _ in range(20))

    assert checked <= FREE_FAILURES + 6 + 3600 / LONGEST_WAIT_S


def test_clients_do_not_wait_for_each_other_but_addresses_of_one_network_do() -> None:
    guard = Guard()
    for number in range(FREE_FAILURES):
        guard.status("guess", f"2001:db8::{number}")

    assert guard.status(TOKEN, "2001:db8::9999") == 429
    assert guard.status(TOKEN, "2001:db8:0:1::1") == 200
    assert guard.status(TOKEN, "10.0.0.8") == 200


def test_what_is_remembered_of_clients_is_bounded() -> None:
    guard = Guard()
    for number in range(3 * MOST_CLIENTS):
        guard.status("guess", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")

    assert len(guard.guard._failures) == MOST_CLIENTS


def test_guesses_over_http_are_slowed_down(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop:
        for path in ("/customers/c1", "/customers/nobody"):
            for _ in range(3):
                last = ask(shop, path, "DELETE", headers={"Authorization": "Bearer guess"})
        late = ask(shop, "/orders", "POST", b"{}", headers={"Authorization": f"Bearer {TOKEN}"})

        refused(last, 429, "wrong tokens")
        refused(late, 429, "wrong tokens")
        assert 1 <= int(late.headers["Retry-After"]) <= 60
        assert ask(shop, "/customers/c1").status == 200, "reading needs no token"


@pytest.mark.parametrize("token", ["", " ", "two words", "crème", "line\n"])
def test_a_token_that_everyone_has_or_nobody_can_send_is_an_error(token: str, tmp_path: Path) -> None:
    """With an empty token, `Authorization: Bearer` opened all routes that write."""
    with pytest.raises(ValueError, match="the token"):
        AdminSettings(token)

    options = ["worker", "--broker", "127.0.0.1:1", "--state-dir", str(tmp_path), "--admin-token", token]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 2
    assert "the token" in result.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--admin", "6066"),
        ("--admin", "localhost:66666"),
        ("--admin", "http://localhost:6066"),
        ("--advertise", "shop:80/path"),
        ("--advertise", "user@shop:80"),
        ("--advertise", "shop:0"),
        ("--allow-host", "http://shop.example"),
        ("--allow-host", "shop.example:80"),
        ("--allow-host", "*"),
    ],
)
def test_an_address_in_another_form_is_refused_with_an_example(option: str, value: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["worker", "--broker", "b:1", "--state-dir", str(tmp_path), option, value])

    assert result.exit_code == 2
    assert option in result.output
    assert "as in" in result.output
