"""`make bench-page`: how soon the page can be used, and how long it keeps the browser from answering.

ARGS="--loads 20"   page loads, each in a browser that has nothing of the page yet (10)
Starts a service of its own on an empty folder. A load ends when the Teach tab's boxes can be used.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.measure import machine, write
from tests.fixtures.browser import ARGUMENTS, CHROMIUM, DESKTOP
from tests.fixtures.service import Service

TABS = ("Teach", "Try", "Search", "Adapters", "Use it")
USABLE = "#saft-teach .saft h2"
# Frames that took long (Long Animation Frames API), with the scripts that ran in them.
OBSERVE = """
window.saftFrames = [];
new PerformanceObserver((list) => window.saftFrames.push(...list.getEntries().map((frame) => ({
  ms: frame.duration,
  scripts: frame.scripts.map((script) => ({ source: script.sourceURL, ms: script.duration })),
})))).observe({ type: "long-animation-frame", buffered: true });
"""


@dataclass(frozen=True)
class Load:
    """One load of the page.

    seconds: until it can be used. kilobytes: of all files, as sent. ours_ms: the longest script of ours without a
    break, over the load and a walk through all tabs.
    """

    seconds: float
    kilobytes: float
    files: int
    ours_ms: float


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(prog="make bench-page ARGS=...", description=__doc__)
    parser.add_argument("--loads", type=int, default=10)
    options = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        service = Service(Path(folder) / "data")
        service.start()
        service.until_page()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        loads = [load(browser, service.url) for _ in range(options.loads)]
        browser.close()
        service.stop()
    row = summary(loads)
    print(row)
    print(f"written to {write('page', [{'machine': machine('cpu')}, row])}")


def load(browser: Browser, url: str) -> Load:
    """Open the page in a fresh browser and walk through its tabs."""
    context = browser.new_context(viewport=DESKTOP, locale="en-GB")
    page = context.new_page()
    page.add_init_script(OBSERVE)
    page.goto(url, wait_until="commit")
    page.wait_for_selector(USABLE)
    seconds = float(page.evaluate("performance.now()")) / 1000
    for label in TABS:
        page.get_by_role("tab", name=label, exact=True).click()
        page.wait_for_timeout(300)
    files: list[Any] = page.evaluate("performance.getEntriesByType('resource').map((file) => file.encodedBodySize)")
    frames: list[dict[str, Any]] = page.evaluate("window.saftFrames")
    ours = [script["ms"] for frame in frames for script in frame["scripts"] if "page/static" in script["source"]]
    context.close()
    return Load(seconds, sum(files) / 1000, len(files), max(ours, default=0.0))


def summary(loads: Sequence[Load]) -> dict[str, float]:
    """Over all loads."""
    seconds = sorted(one.seconds for one in loads)
    return {
        "loads": len(loads),
        "usable_seconds_median": statistics.median(seconds),
        "usable_seconds_longest": seconds[-1],
        "our_longest_task_ms": max(one.ours_ms for one in loads),
        "kilobytes": statistics.median(one.kilobytes for one in loads),
        "files": statistics.median(one.files for one in loads),
    }


if __name__ == "__main__":
    main()
