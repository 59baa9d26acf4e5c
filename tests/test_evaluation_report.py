"""The report in a real browser: it draws every plot, sends no requests, and fits a phone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from click.testing import CliRunner

from evaluation.commands import evaluate
from tests.shops import shop, write_log

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; apt-get install chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("report")
    log = write_log(directory / "orders.csv", shop(customers=200))
    selection = "default,popularity,difference,customers-full,als,ease"
    result = CliRunner().invoke(evaluate, [str(log), "--systems", selection, "--out", str(directory)])
    assert result.exit_code == 0, result.output
    return directory / "report.html"


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that must log no errors."""
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        browser.close()
    assert complaints == []


@pytest.mark.parametrize("width", [390, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_opens_by_itself_and_fits(
    report: Path, page: Page, width: int, scheme: Literal["light", "dark"]
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(report.as_uri())

    assert asked == [report.as_uri()]
    assert page.locator("svg").count() == 3
    for plot in page.locator("svg").all():
        box = plot.bounding_box()
        assert box is not None
        assert box["width"] >= 640  # smaller text would be illegible; narrow screens scroll
        assert box["height"] > 50
    assert page.locator("svg .bar").count() == 2 * page.locator("tbody tr").count()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    assert ink != paper
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"evaluation-{width}-{scheme}.png", full_page=True)
