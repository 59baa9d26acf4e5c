"""A real browser; its errors and requests are checked."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"
PATIENCE_MS = 60_000

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")


@contextmanager
def watched_page(profile: Path, url: Callable[[], str], unless: str | None = None) -> Iterator[Page]:
    """Open a page. On exit it must have logged no errors, and sent requests only to the shop at `url`.

    Args:
        profile: directory of the browser.
        url: of the shop.
        unless: errors with this text are expected.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
    errors: list[str] = []
    origins: set[str] = set()
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=FLAGS.split(), headless=True
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.on("request", lambda request: origins.add("/".join(request.url.split("/")[:3])))
        yield page
        context.close()
    unexpected = [error for error in errors if unless is None or unless not in error]
    assert not unexpected, unexpected
    assert origins == {url()}


def save_screenshot(page: Page, name: str) -> None:
    """Save a screenshot, and check that nothing overflows horizontally."""
    page.wait_for_timeout(700)  # wait for animations
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than the screen"


def check_accessible(page: Page, name: str) -> None:
    """Check that axe-core finds nothing, in light and in dark colours: nothing but contrasts differs in the latter."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="what axe-core finds needs it").Axe()
    contrasts: dict[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
    for colours, options in (("light", {}), ("dark", contrasts)):
        page.emulate_media(color_scheme="dark" if colours == "dark" else "light", reduced_motion="reduce")
        found = axe.run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
        wrong = {rule["id"]: [(node["html"], node["failureSummary"]) for node in rule["nodes"]] for rule in found}
        assert not wrong, f"{name} in {colours} colours: {json.dumps(wrong, indent=1)}"


def choose_colours(page: Page, colours: str) -> None:
    """Choose a colour scheme with the button."""
    while page.evaluate("document.documentElement.dataset.theme ?? 'auto'") != colours:
        page.locator("#theme").click()
