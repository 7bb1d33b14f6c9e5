"""`llmcache report`: what a cache did and saved, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..app import app, note, session, stdout
from .figures import collect
from .page import page

__all__ = ["collect", "page"]


@app.command()
def report(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")] = Path("llmcache-report.html"),
    prompts: Annotated[
        int, typer.Option(help="How many of the hottest prompts stand in it. They are private: 0 of them.", min=0)
    ] = 0,
    sample: Annotated[int, typer.Option(help="How many entries are looked at for them.", min=1)] = 20_000,
    title: Annotated[str, typer.Option(help="Instead of the name of the cache.")] = "",
) -> None:
    """Write a page with charts: savings, models, misses, latency, memory, projection. It needs no network."""
    settings = session(context)
    with settings.cache() as cache:
        figures = collect(cache, prompts, sample)
    html = page(figures, title or settings.name)
    if str(file) == "-":
        stdout().write(html)
        return
    file.write_text(html, encoding="utf-8")
    note(f"llmcache: {file}")
