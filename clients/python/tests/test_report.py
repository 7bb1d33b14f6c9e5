"""The report: its figures, its words, and what a browser makes of it."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import browser
import pytest
from cli import invoke
from conftest import RedisServer
from report_sample import HOSTILE, sample

from llmcache import Cache, Stats
from llmcache.cli.report.charts import nice
from llmcache.cli.report.figures import COUNTED, buckets, collect, total
from llmcache.cli.report.page import page


class Tags(HTMLParser):
    """Which elements a page has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_windows_are_taken_apart_into_buckets() -> None:
    """As a server tells them: windows begin with whole hours, and go up to now."""
    now, hour = 1_000_000 * 3600 + 1234, 3600
    events = {now - 100: 1, now - 1234: 2, now - 1235: 4, now - 1234 - hour - 1: 8, now - 5 * hour: 16}

    def window(seconds: int) -> Stats:
        start = now - seconds
        start -= start % (1 if seconds <= 120 else 60 if seconds <= 7200 else 3600)
        return Stats(dict.fromkeys(COUNTED, sum(number for at, number in events.items() if at >= start)))

    starts = [now - 1234 - hour * number for number in range(6)]
    found = buckets(window, now, starts)
    assert [bucket["hits"] for bucket in found] == [16, 0, 0, 8, 4, 3]
    assert [(bucket.start, bucket.end) for bucket in found][-2:] == [(starts[1], starts[0]), (starts[0], now)]
    assert total(found, "hits") == 31


def test_buckets_add_up_to_what_a_server_counted(server: RedisServer) -> None:
    with Cache(server.url, "faq", fallback=None) as cache:
        cache.set("p", "r", model="m", cost="0.5")
        for _ in range(3):
            assert cache.get("p", model="m")
        cache.get("missing")
        figures = collect(cache, prompts=5)
    for parts in (figures.hours, figures.days):
        assert (total(parts, "hits"), total(parts, "misses"), str(total(parts, "cost_saved_usd"))) == (3, 1, "1.500000")
        # All of it just now, but for an hour that begins meanwhile.
        assert sum(bucket["hits"] for bucket in parts[-2:]) == 3
    assert (len(figures.hours), len(figures.days)) == (24, 30)
    assert figures.hours[-1].end - figures.at == 0 and abs(figures.at - time.time()) < 5
    assert set(figures.models) >= {"m"} and [entry.prompt for entry in figures.hottest] == ["p"]


def test_days_begin_at_midnight_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from llmcache.cli.report.figures import _days

    for zone, remainder in (("UTC", 0), ("Asia/Tokyo", 15 * 3600), ("Asia/Kolkata", 0)):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            starts = list(_days(1_790_000_000))
        finally:
            monkeypatch.delenv("TZ")
            time.tzset()
        assert {start % 86400 for start in starts} == {remainder}, zone
        assert starts == sorted(starts, reverse=True) and 0 <= 1_790_000_000 - starts[0] < 86400


def test_nothing_that_others_wrote_is_more_than_text() -> None:
    html = page(sample(HOSTILE, prompts=True), "faq" + HOSTILE)
    assert "<script" not in html and "<img" not in html and html.count("&lt;script&gt;") >= 8
    tags = Tags(html).found
    assert {tag for tag, _ in tags} & {"script", "img", "iframe", "object", "form"} == set()
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
    links = {attributes.get("href") or attributes.get("src") for _, attributes in tags} - {None}
    assert links == {"data:,"}


def test_prompts_stand_in_it_only_if_asked_for(server: RedisServer) -> None:
    with Cache(server.url, "faq", fallback=None) as cache:
        cache.set("a private matter", "r", model="gpt-4o")
        cache.get("a private matter", model="gpt-4o")
    without = invoke(server, "report", "-").stdout
    assert "private" not in without and "gpt-4o" in without
    assert "a private matter" in invoke(server, "report", "-", "--prompts", 5).stdout


def test_a_cache_that_did_nothing_yet_has_a_report(server: RedisServer, tmp_path: Path) -> None:
    server.client().execute_command("LLMCACHE.CREATE", "faq")
    file = tmp_path / "report.html"
    assert invoke(server, "report", file).exit_code == 0
    assert "Nothing can be projected yet" in file.read_text() and "NaN" not in file.read_text()
    missing = invoke(server, "report", file, name="nosuch")
    assert missing.exit_code == 1 and "no cache 'nosuch'" in missing.stderr


def test_every_chart_says_what_it_shows() -> None:
    html = page(sample(prompts=True), "faq")
    charts = re.findall(r'<svg role="img" aria-labelledby="(\S+) (\S+)".*?</svg>', html, re.S)
    assert len(charts) == 9
    for title, description in charts:
        assert f'<title id="{title}">' in html and f'<desc id="{description}">' in html
    assert len({name for pair in charts for name in pair}) == 18
    assert html.count("<table") >= 8 and "$4,179.11" in html and "68.0 %" in html


@pytest.mark.parametrize(("most", "end"), [(0, 1), (1, 1), (12.76, 15), (0.0021, 0.0025), (99, 100), (101, 150)])
def test_scales_end_with_round_numbers(most: float, end: float) -> None:
    assert nice(most) == pytest.approx(end)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Any:
    browser.required()
    with browser.browser(tmp_path_factory.mktemp("chromium")) as driver:
        driver.get("about:blank")
        yield driver


@pytest.fixture(params=["friendly", "hostile"])
def shown(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    hostile = HOSTILE if request.param == "hostile" else ""
    file = tmp_path / "report.html"
    file.write_text(page(sample(hostile, prompts=True), "faq" + hostile), encoding="utf-8")
    return file


@pytest.fixture
def open_at(chromium: Any, shown: Path) -> Callable[..., Any]:
    def opened(width: int, height: int, dark: bool = False) -> Any:
        chromium.get_log("browser"), browser.requests(chromium)
        browser.look(chromium, shown, width, height, dark)
        return chromium

    return opened


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(("width", "height"), [(360, 800), (1280, 800)])
def test_it_is_shown_whole(open_at: Callable[..., Any], shown: Path, width: int, height: int, dark: bool) -> None:
    driver = open_at(width, height, dark)
    assert driver.get_log("browser") == []
    assert browser.requests(driver) == [shown.as_uri()]
    assert "owned" not in driver.title or "<script>" in driver.title
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    outside = driver.execute_script(
        "const out = [];"
        "for (const e of document.querySelectorAll('main *, header *, footer *')) {"
        "  const b = e.getBoundingClientRect();"
        "  if (b.width && getComputedStyle(e).clipPath === 'none' && (b.left < -1 || b.right > innerWidth + 1))"
        "    out.push(e.tagName + ' ' + e.textContent.slice(0, 60));"
        "} return out;"
    )
    assert outside == []
    small = driver.execute_script(
        "return [...document.querySelectorAll('body *')]"
        ".filter(e => e.textContent.trim() && parseFloat(getComputedStyle(e).fontSize) < 16).length"
    )
    assert small == 0
    bars = "return [...document.querySelectorAll('svg.chart')].map(s => s.querySelectorAll('rect,circle').length)"
    drawn = driver.execute_script(bars)
    assert len(drawn) == 9 and min(drawn) > 0


def test_texts_of_a_chart_do_not_lie_on_each_other(open_at: Callable[..., Any]) -> None:
    for width in (360, 1280):
        driver = open_at(width, 800)
        clashes = driver.execute_script(
            "const out = [];"
            "for (const s of document.querySelectorAll('svg.chart')) {"
            "  const t = [...s.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()]);"
            "  for (let i = 0; i < t.length; i++) for (let j = i + 1; j < t.length; j++) {"
            "    const a = t[i][1], b = t[j][1];"
            "    if (a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)"
            "      out.push(t[i][0] + ' | ' + t[j][0]);"
            "  }"
            "} return out;"
        )
        assert clashes == [], width


CONTRAST = """
const channel = c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
const light = c => {
  const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(channel);
  return .2126*r + .7152*g + .0722*b; };
const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
return [...document.querySelectorAll('h1,h2,p,td,th,dt,dd,summary,strong,span,b,svg text')].map(e => {
  const style = getComputedStyle(e), inside = e.tagName === 'text';
  const a = light(inside ? style.fill : style.color), b = light(behind(e));
  return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.textContent.slice(0, 40)];
}).filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.parametrize("dark", [False, True])
def test_texts_stand_out(open_at: Callable[..., Any], dark: bool) -> None:
    driver = open_at(1280, 800, dark)
    assert driver.execute_script(CONTRAST) == []
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == (
        "rgb(15, 17, 21)" if dark else "rgb(244, 245, 247)"
    )


def test_it_can_be_printed(open_at: Callable[..., Any]) -> None:
    driver = open_at(1280, 800, True)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    data = base64.b64decode(printed["data"])
    assert data.startswith(b"%PDF-") and 3 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 12
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert driver.execute_script("return document.querySelector('details td').checkVisibility()")
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
