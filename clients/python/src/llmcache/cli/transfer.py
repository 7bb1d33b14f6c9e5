"""Moving caches through files: export and import."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from .. import Cache, Refused, Unavailable
from . import human
from .app import CliError, Stop, app, line, note, session, stdout, tell
from .entries import Json, named
from .notes import Notes
from .portable import PLAIN, SHAPES, ExplainId, Identity, RawEntry, RawScan, Restore, RestoreFor, request, tell_entry
from .server import info, server
from .warm import Bar

_FORMAT = "llmcache-entries-1"


@app.command("export")
def export_(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to; - or nothing is standard output.")] = None,
    match: Annotated[str | None, typer.Option(help="Whose prompt fits this pattern.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", "-t", help="With this tag.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Of this model.")] = None,
    scope: Annotated[str | None, typer.Option(help="In this scope.")] = None,
) -> None:
    """Write all entries as lines of JSON. What is stale already is left out."""
    named(match=match, tag=tag, model=model, scope=scope)
    settings = session(context)
    with settings.cache() as cache, Stop() as stop:
        writer = Writer(cache, RawScan(count=500, match=match, tag=tag, model=model, scope=scope))
        if file is None or str(file) == "-":
            writer.write(stdout(), stop)
        else:
            with _whole(file, stop) as out:
                writer.write(out, stop)
    if stop.wanted:
        note("llmcache: interrupted")
        raise typer.Exit(130)
    if writer.loses_vectors:
        note("llmcache: the server does not tell vectors: imported entries are matched exactly only")
    told = f"llmcache: {writer.written:,} entries"
    told += f", {writer.stale:,} stale ones left out" if writer.stale else ""
    note(f"{told}; without stale windows, feedback, and how long it took to make what was never hit")
    if writer.untold:
        note(f"llmcache: {writer.untold:,} requests could not be told again: import leaves them out")
        raise typer.Exit(1)


@contextmanager
def _whole(file: Path, stop: Stop) -> Iterator[TextIO]:
    """A file to write: in the end it is whole, or as it was. What is no file, such as a pipe, is written as it is."""
    if file.exists() and not file.is_file():
        with file.open("w", encoding="utf-8") as out:
            yield out
        return
    file = file.resolve()
    half = file.with_name(file.name + ".part")
    half.unlink(missing_ok=True)
    try:
        # Prompts and answers are private, unless somebody has said otherwise.
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        if not stop.wanted:
            if file.exists():
                shutil.copymode(file, half)
            half.replace(file)
    finally:
        half.unlink(missing_ok=True)


class Writer:
    """Tells the entries of a cache."""

    def __init__(self, cache: Cache, pages: RawScan) -> None:
        self.cache, self.pages = cache, pages
        self.written = self.stale = self.untold = 0
        self.loses_vectors = False

    def write(self, out: TextIO, stop: Stop) -> None:
        """All of them."""
        cursor, first = "0", True
        self.loses_vectors = info(self.cache)["similarity"] == "vector"
        print(line({"format": _FORMAT, "cache": self.cache.name, "at": _now()}, out), file=out)
        while (first or cursor != "0") and not stop.wanted:
            first = False
            pages = self.pages
            page = RawScan(cursor, pages.count, pages.match, pages.tag, pages.model, pages.scope)
            cursor, found = self.cache._do(page)
            for id, _ in found:
                entry: Any = self.cache._do(RawEntry(id))
                if entry is None:
                    continue
                if entry["stale"]:
                    self.stale += 1
                    continue
                print(line(self._told(entry), out), file=out)
                self.written += 1

    def _told(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        told = tell_entry(entry, _now())
        parts = {name: entry[name] or b"" for name in ("prompt", "scope", "model", "system", "params")}
        identity = Identity(**parts)
        shape = identity.shape(told["id"])
        if shape == PLAIN:
            return told
        if shape is not None:
            try:
                body = request(identity, shape)
                if self.cache._do(ExplainId(body, identity.scope)) == told["id"]:
                    return {"request": body, "api": SHAPES[shape]} | told
            except (ValueError, LookupError, TypeError, Refused):
                pass
        self.untold += 1
        return {"untold": "the request that it answers cannot be told again"} | told


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What export wrote; - is standard input.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Also where there is a fresh answer.")] = False,
    state: Annotated[Path | None, typer.Option(help="Where to note what is done (FILE.state).")] = None,
    as_json: Json = False,
) -> None:
    """Store entries that export wrote. What is there already stays, so it can be repeated."""
    settings = session(context)
    with settings.cache() as cache, Stop() as stop:
        server(cache)
        reader = Reader(cache, overwrite)
        # Bytes that are no text are told with the number of their line.
        text: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape"}
        if str(file) == "-":
            if isinstance(sys.stdin, io.TextIOWrapper):
                sys.stdin.reconfigure(**text)
            reader.read(sys.stdin, stop, None)
        else:
            with file.open(**text) as lines:
                notes = None
                if file.is_file():
                    about = os.fstat(lines.fileno())
                    work = ("import", settings.place(), settings.name, about.st_size, about.st_mtime_ns)
                    notes = Notes(state or file.with_name(file.name + ".state"), *work)
                reader.read(lines, stop, notes)
            if notes:
                notes.close(forget=not stop.wanted)
    told = {"stored": reader.stored, "there_already": reader.there, "expired": reader.expired}
    told |= {"done_before": reader.before, "rejected": reader.rejected}
    if as_json:
        tell(told)
    else:
        print(", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in told.items()))
    if stop.wanted:
        note("llmcache: interrupted; the same command goes on")
        raise typer.Exit(130)
    raise typer.Exit(1 if reader.rejected else 0)


class Reader:
    """Stores what it reads."""

    def __init__(self, cache: Cache, overwrite: bool) -> None:
        self.cache, self.overwrite = cache, overwrite
        self.stored = self.there = self.expired = self.before = self.rejected = 0
        self._unknown: set[str] = {"", "explicit", "nocache", "auto"}

    def read(self, lines: Iterator[str] | TextIO, stop: Stop, notes: Notes | None) -> None:
        """All of it, or up to a stop."""
        done = max(map(int, filter(str.isdecimal, notes.done)), default=0) if notes else 0
        number = 0
        with Bar("importing", None) as bar:
            for number, line in enumerate(lines, 1):
                if number <= done:
                    self.before += 1 if number > 1 else 0
                    continue
                if stop.wanted:
                    number -= 1
                    break
                self._line(number, line)
                bar.advance(1)
                if notes and number % 100 == 0:
                    notes.add([str(number)])
        if notes:
            notes.add([str(number)])

    def _line(self, number: int, line: str) -> None:
        try:
            told = json.loads(line)
            if not isinstance(told, dict):
                raise ValueError("no object of JSON")
        except ValueError as error:
            if number == 1:
                raise CliError(f"this is no export of llmcache: {error}") from error
            self._reject(number, str(error))
            return
        if number == 1:
            if told.get("format") != _FORMAT:
                raise CliError(f"this is no export of llmcache, or of another version: its first line has no {_FORMAT}")
            return
        if "untold" in told:
            self._reject(number, str(told["untold"]))
            return
        try:
            self._store(told)
        except Unavailable:
            raise
        except (Refused, ValueError, KeyError, TypeError) as error:
            self._reject(number, f"lacks {error}" if isinstance(error, KeyError) else str(error))

    def _reject(self, number: int, why: str) -> None:
        self.rejected += 1
        if self.rejected <= 20:
            note(f"llmcache: line {number}: {human.clip(why.removeprefix('ERR '), 300)}")

    def _store(self, told: Mapping[str, Any]) -> None:
        expires = told.get("expires_at")
        if expires is not None and expires <= _now():
            self.expired += 1
            return
        life = ("PERSIST",) if expires is None else ("PXAT", int(expires))
        strategy = str(told.get("strategy") or "")
        if strategy in self._unknown or expires is None:
            self._count(self.cache._do(Restore(told, life, not self.overwrite)))
            return
        seconds = max(1, round((expires - _now()) / 1000))
        try:
            self._count(self.cache._do(RestoreFor(told, ("STRATEGY", strategy), not self.overwrite, seconds)))
        except Refused as error:
            if "STRATEGY" not in str(error):
                raise
            # This cache does not have it: the entry lives as long all the same.
            self._unknown.add(strategy)
            self._store(told)

    def _count(self, stored: bool) -> None:
        self.stored += stored
        self.there += not stored


def _now() -> int:
    return round(time.time() * 1000)
