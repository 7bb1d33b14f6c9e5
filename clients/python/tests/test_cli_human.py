"""Figures as people read them, and signals as they send them."""

from __future__ import annotations

import os
import signal
import sys
from decimal import Decimal

import pytest

from llmcache.cli import human
from llmcache.cli.app import Stop


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (human.usd(0), "$0"),
        (human.usd(Decimal("0.000021")), "$0.000021"),
        (human.usd(Decimal("0.0021")), "$0.0021"),
        (human.usd(Decimal("0.5")), "$0.50"),
        (human.usd(Decimal("-1234.567")), "-$1,234.57"),
        (human.usd(1234567), "$1,234,567"),
        (human.count(12345), "12,345"),
        (human.count(1234567), "1.23 M"),
        (human.size(512), "512 B"),
        (human.size(1536), "1.5 KiB"),
        (human.size(3 << 40), "3 TiB"),
        (human.percent(0.6789), "67.9 %"),
        (human.micros(4.123), "4.12 µs"),
        (human.micros(45678), "45.7 ms"),
        (human.seconds(0.25), "250 ms"),
        (human.seconds(90), "90 s"),
        (human.seconds(86_400 * 3), "3 d"),
        (human.seconds(86_400 * 1000), "2.74 y"),
        (human.clip("a  b\nc" * 9, 8), "a b ca …"),
        (human.clean("a\x1b[1m\u202eb\n"), "a\\x1b[1m\\u202eb\n"),
    ],
)
def test_figures_have_the_digits_that_count(made: str, shown: str) -> None:
    assert made == shown


@pytest.mark.parametrize("moment", range(12))
def test_a_signal_may_come_at_any_moment(moment: int) -> None:
    def too_long(*_: object) -> None:
        raise AssertionError("whoever waits is never woken")

    steps = 0

    def trace(*_: object) -> object:
        nonlocal steps
        steps += 1
        if steps == moment + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return trace

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(5)
    try:
        with Stop() as stop:
            sys.settrace(trace)  # type: ignore[arg-type]
            try:
                stop.wait(0.2)
            finally:
                sys.settrace(None)
            if steps <= moment:
                # It takes fewer steps than that.
                os.kill(os.getpid(), signal.SIGTERM)
            assert stop.wait(10) and stop.wanted and stop.signal == signal.SIGTERM
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
                stop.wait(5)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
