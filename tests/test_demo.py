"""The demo as users see it: a page, progress, Ctrl-C at any moment; and it leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from state.compiling import WORDS
from streams.demo.child_process import ChildProcess
from streams.demo.embedded_broker import EmbeddedBroker, NoEmbeddedBroker
from streams.demo.ports import free_port, is_free
from tests.browsers import needs_chromium, save_screenshot, watched_page
from tests.commands import COMMAND, refused
from tests.workers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_S = 180  # compiling included, on a machine that is shared


class Demo:
    """The demo in a separate process, with its own temporary directory."""

    def __init__(self, directory: Path, *options: str, **environment: str) -> None:
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        self.log = directory / "demo.txt"
        with self.log.open("wb") as to:
            self.process = subprocess.Popen(
                [COMMAND, "demo", *options],
                cwd=directory,
                env=os.environ | {"TMPDIR": str(self.temporary)} | environment,
                stdout=to,
                stderr=to,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """Everything printed so far."""
        return self.log.read_text()

    @property
    def children(self) -> list[int]:
        """Processes that name its directory or its address: broker, worker and their guards."""
        return [pid for pid, command in _processes().items() if str(self.temporary) in command]

    @property
    def commands(self) -> list[str]:
        """Command line and environment of each of these processes."""
        return [command for command in _processes().values() if str(self.temporary) in command]

    def says(self, words: str, timeout_s: float = PAGE_S) -> None:
        """Wait until it prints a text."""
        wait_until(
            f"{words!r} is said", lambda: words in self.said or self.process.poll() is not None, timeout_s, pause_s=0.02
        )
        assert words in self.said, self.said

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def running(directory: Path, *options: str, **environment: str) -> Iterator[Demo]:
    demo = Demo(directory, *options, **environment)
    try:
        yield demo
    finally:
        demo.process.kill()
        demo.process.wait()


def _processes() -> dict[int, str]:
    """Command line and environment of each of our processes."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command_lines = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        found[int(process.name)] = command_lines.decode(errors="replace")
    return found


def fetched(url: str) -> bytes:
    """The body at a URL."""
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        body: bytes = answer.read()
        return body


def nothing_is_left(demo: Demo) -> bool:
    """Whether neither process nor file remains."""
    return not demo.children and not list(demo.temporary.iterdir())


def test_the_demo_shows_a_page_counts_everything_and_cleans_up(tmp_path: Path) -> None:
    """The first thing that a newcomer sees."""
    with running(tmp_path, "--lines", "30000", "--speed", "max", "--port", str(free_port())) as demo:
        demo.says("page: http://")
        [address] = re.findall(r"page: (http://\S+)", demo.said)
        assert b"<title>alsobought</title>" in fetched(address)
        demo.says("every related list is exact", 120)
        assert "catalogue: 92,331 products" in demo.said
        related = json.loads(fetched(f"{address}/items/1082185/related"))
        assert (related["title"], related["exact"]) == ("Bananas, 40 lb", True)
        assert related["related"]
        assert any("--score-one-in" in command for command in demo.commands)  # of how many, a busy machine decides
        assert re.search(r"^29,\d\d\d lines of [\d,]+ orders counted in \d+ s$", demo.said, re.MULTILINE), demo.said
        assert len(demo.children) >= 3

        assert demo.interrupt() == 0
        assert "stopped: broker, worker and their files are gone" in demo.said
        assert "Traceback" not in demo.said
        assert "WARNING" not in demo.said
        wait_until("nothing is left", lambda: nothing_is_left(demo), 10)


HEADINGS = """
window.headings = [];
new MutationObserver(() => {
  const text = [...document.querySelectorAll("#view h1, #view h2")].map((heading) => heading.textContent).join("; ");
  const missing = document.querySelector("#view .empty p")?.textContent ?? "";
  const seen = `${text}|${missing}|${document.querySelector(".state .value")?.textContent}`;
  if (text && seen !== window.headings.at(-1)) window.headings.push(seen);
}).observe(document, { childList: true, subtree: true, characterData: true });
"""
"""Keeps what the page shows: headings, what it waits for, and the state beside the lamp."""


@needs_chromium
def test_a_fresh_machine_is_told_what_it_waits_for(tmp_path: Path) -> None:
    """Nothing is compiled yet, and the folder has others that are called like packages of ours."""
    for name in ("state", "streams", "producers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('this is the package of the user')")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    cache = str(tmp_path / "cache")
    with (
        running(tmp_path, "--lines", "3000", "--speed", "max", "--port", str(port), NUMBA_CACHE_DIR=cache) as demo,
        watched_page(tmp_path / "profile", lambda: address, unless="503") as page,
    ):
        wait_until("the web server listens", lambda: not is_free(port) or demo.process.poll() is not None, PAGE_S)
        page.add_init_script(HEADINGS)
        page.goto(address)
        page.locator(".empty", has_text="compiling loops").wait_for(timeout=1000 * PAGE_S)
        assert "page: " not in demo.said
        save_screenshot(page, "starting")
        demo.says("page: http://")
        page.locator("h1", has_text="Bestsellers").wait_for()
        headings: list[str] = page.evaluate("headings")

    assert demo.said.index(WORDS) < demo.said.index("page: ")
    waiting = [heading.split("|") for heading in headings if not heading.startswith("Bestsellers; ")]
    assert {heading for heading, _, _ in waiting} == {"Not ready yet"}, headings
    assert {lamp for _, _, lamp in waiting} <= {"connecting", "starting"}, headings


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_at_any_moment_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """While it starts, while it replays; pressed once or again."""
    chance = random.Random(int(number))  # noqa: S311
    for attempt in range(3):
        directory = tmp_path / str(attempt)
        directory.mkdir()
        with running(directory, "--lines", "30000") as demo:
            wait_until("it has begun", lambda: bool(list(demo.temporary.iterdir())), pause_s=0.002)
            time.sleep(chance.choice([0.0, 0.3, 3.0, 6.0]) * chance.random())
            demo.process.send_signal(number)
            time.sleep(0.1)
            assert demo.interrupt(number) == 0, demo.said
            assert "Traceback" not in demo.said, demo.said
            wait_until("nothing is left", lambda: nothing_is_left(demo), 10)


def test_the_processes_of_a_killed_demo_end_with_it(tmp_path: Path) -> None:
    with running(tmp_path, "--lines", "30000") as demo:
        demo.says("page: http://")
        demo.process.kill()
        demo.process.wait()
        wait_until("no process is left", lambda: not demo.children, 10)


def test_a_worker_that_ends_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    with running(tmp_path, "--lines", "30000") as demo:
        demo.says("page: http://")
        [worker] = [
            pid for pid, command in _processes().items() if f"{demo.temporary}" in command and "\0worker\0" in command
        ]
        os.kill(worker, signal.SIGKILL)

        assert demo.process.wait(60) == 1
        assert "the worker ended with exit code -9" in demo.said
        assert nothing_is_left(demo)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    assert "--state-dir goes with --no-broker" in refused("demo", "--state-dir", tmp_path)
    assert "omit --no-broker" in refused("demo", "--no-broker", "--lines", "5")
    assert "omit --no-broker" in refused("demo", "--no-broker", "--port", "5")


def test_without_an_embedded_broker_the_demo_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tmp_path / "tansu"
    wrong.write_text("#!/bin/sh\necho no such machine; exit 3\n")
    wrong.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(wrong))
    with (
        pytest.raises(NoEmbeddedBroker, match="does not start on this machine:\nno such machine"),
        EmbeddedBroker(tmp_path),
    ):
        pass
    monkeypatch.setenv("CALF_TANSU_BIN", str(tmp_path / "nothing"))
    with pytest.raises(NoEmbeddedBroker, match="has no broker for this machine"), EmbeddedBroker(tmp_path):
        pass


def test_the_preferred_port_is_used_if_it_is_free() -> None:
    preferred = free_port()
    assert free_port(preferred) == preferred
    with socket.create_server(("127.0.0.1", preferred)):
        assert not is_free(preferred)
        assert free_port(preferred) != preferred


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.demo.child_process.STOP_TIMEOUT_S", 0.2)
    child = ChildProcess(
        ["/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.05; done"], tmp_path / "log.txt"
    )
    wait_until("it is deaf", lambda: child.last_words() == "deaf", 10)
    child.end()
    assert not child.running
    assert child.child.returncode == -signal.SIGKILL
