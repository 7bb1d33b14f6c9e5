"""A real browser that shows pages, without a screen and without a network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def required() -> None:
    """Skips where there is no browser, unless there must be one."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        if os.environ.get("LLMCACHE_REQUIRE_ALL"):
            pytest.fail("no chromium and chromedriver: apt-get install chromium chromium-driver")
        pytest.skip("no chromium and chromedriver: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="no selenium: pip install selenium")


@contextmanager
def browser(folder: Path) -> Iterator[Any]:
    """A browser with a profile of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
        f"user-data-dir={folder}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def look(driver: Any, page: Path, width: int, height: int, dark: bool = False) -> None:
    """Opens a page on a screen of this size."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    driver.get(page.as_uri())


def requests(driver: Any) -> list[str]:
    """The addresses that were asked for."""
    events = [json.loads(line["message"])["message"] for line in driver.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def picture(driver: Any, path: Path) -> None:
    """The whole page as a picture."""
    import base64

    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
    path.write_bytes(base64.b64decode(shot["data"]))
