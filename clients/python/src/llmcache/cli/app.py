"""What all commands share: options, the connection, output, errors, signals."""

from __future__ import annotations

import base64
import codecs
import dataclasses
import io
import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO
from urllib.parse import urlsplit

import typer
from redis.connection import parse_url
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from .. import Cache, LlmcacheError, Stats, __version__
from . import human

#: Of click, or of what typer brings in its place.
UsageError: type[Any] = typer.BadParameter.__mro__[1]
ClickException: type[Any] = typer.BadParameter.__mro__[2]


_HERE = "redis://localhost:6379"


class CliError(Exception):
    """What went wrong, in one line."""


class _Enough(Exception):
    """Whoever read has enough."""


class Commands(TyperGroup):
    """Commands whose errors are one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Click would make it an exit code of its own.
            raise _Enough from error

    def main(self, *args: Any, **more: Any) -> NoReturn:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            code = super().main(*args, **(more | {"standalone_mode": False}))
            sys.stdout.flush()
        except UsageError as error:
            _say(error.format_message())
            code = 2
        except ClickException as error:
            _say(error.format_message())
            code = 1
        except (typer.Abort, KeyboardInterrupt):
            code = 130
        except (_Enough, BrokenPipeError):
            # What is still in the buffer has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except (CliError, LlmcacheError, RedisError, ValueError) as error:
            _say(str(error) or type(error).__name__)
            code = 1
        except OSError as error:
            _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            code = 1
        except Exception as error:
            if os.environ.get("LLMCACHE_DEBUG"):
                traceback.print_exc()
            _say(f"{type(error).__name__}: {error} (LLMCACHE_DEBUG=1 shows where)")
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=Commands,
    help="Look at, fill, move and measure caches of LLM answers in Redis.",
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclasses.dataclass
class Session:
    """Which cache is meant, and where."""

    url: str | None
    name: str
    cluster: bool

    def cache(self, name: str | None = None, create: bool = False) -> Cache:
        """A cache whose failures are told, not bridged. One in a file is made only if it is to be filled."""
        url, name = self.url or _HERE, name or self.name
        kind, _, path = url.partition(":")
        if kind == "file" and path and not create and not Path(path.removeprefix("//")).exists():
            # Nothing is in it, and who only looks leaves no file behind.
            url = "memory:"
        if kind in ("memory", "file"):
            return Cache(url, name)
        # It refuses what cannot be read.
        self.place()
        return Cache(url, name, fallback=None, cluster=self.cluster)

    def place(self) -> str:
        """Where it is, without who asks."""
        url = self.url or _HERE
        if url.startswith(("memory:", "file:")):
            return url
        try:
            parts = urlsplit(url)
            # A password with one of /?# ends too soon, and the rest of it is taken for a place.
            if parts.scheme != "unix" and "@" in parts.path + parts.query + parts.fragment:
                raise ValueError
            told: dict[str, Any] = parse_url(url.replace("+cluster", "", 1))  # type: ignore[no-untyped-call]
        except ValueError:
            schemes = "redis://, rediss://, unix://, redis+cluster://, memory: or file:PATH"
            signs = "in names and passwords / is %2F, @ is %40, : is %3A, # is %23, ? is %3F, % is %25"
            raise CliError(f"the URL cannot be read: it begins with {schemes}; {signs}") from None
        host = told.get("path") or f"{told.get('host', 'localhost')}:{told.get('port', 6379)}"
        return f"{host}/{told.get('db', 0)}"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmcache {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(envvar="LLMCACHE_URL", help="redis://…, rediss://…, unix://…")] = None,
    name: Annotated[str, typer.Option("--name", "-n", envvar="LLMCACHE_NAME", help="The key of the cache.")] = "llm",
    cluster: Annotated[bool, typer.Option("--cluster", help="The server is a cluster.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Which one.")] = False,
) -> None:
    """The options that stand before the command."""
    context.obj = Session(url, name, cluster)
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


def session(context: typer.Context) -> Session:
    """What the options before the command say."""
    found = context.obj
    assert isinstance(found, Session)
    return found


def _say(message: str) -> None:
    print(f"llmcache: {human.clean(' '.join(message.split()))}", file=sys.stderr)


def note(message: str) -> None:
    """Tells people something that is no result."""
    print(human.clean(message), file=sys.stderr, flush=True)


def console() -> Console:
    """Where people read: in colours where it is a terminal."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def is_live() -> bool:
    """Whether somebody watches standard output."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def show(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table for people; where no terminal is, its rows with tabs between them."""
    if not sys.stdout.isatty():
        for row in [titles, *rows]:
            print("\t".join(human.clean(cell).replace("\\", "\\\\").translate(_ESCAPES) for cell in row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(human.clean(cell)) for cell in row))
    console().print(table)


_ESCAPES = str.maketrans({"\n": "\\n", "\t": "\\t"})


def pairs(rows: Mapping[str, Any]) -> None:
    """Names and values."""
    width = max(map(len, rows), default=0)
    for name, value in rows.items():
        print(f"{name.ljust(width)}  {human.clean(value)}")


def tell(value: Any) -> None:
    """A value for scripts."""
    print(line(value, sys.stdout))


def line(value: Any, out: TextIO) -> str:
    """A value as JSON on one line: of ASCII where it has to be, and on a terminal nothing to obey."""
    told = json.dumps(value, default=_plain, ensure_ascii=codecs.lookup(out.encoding or "ascii").name != "utf-8")
    if told.isprintable() or not out.isatty():
        return told
    return "".join(char if char.isprintable() else _escape(char) for char in told)


def _escape(char: str) -> str:
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


def stdout() -> TextIO:
    """Standard output for files that are UTF-8 wherever they come from."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    return sys.stdout


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    match value:
        case Stats():
            return dict(value)
        case Decimal():
            return f"{value:f}"
        case bytes():
            return portable(value)
        case _:
            raise TypeError(f"no JSON for a {type(value).__name__}")


def portable(data: bytes) -> str | dict[str, str]:
    """Bytes as JSON has them: text, or base64 where they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def unportable(value: Any) -> bytes:
    """The bytes again."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Mapping) and isinstance(value.get("base64"), str):
        return base64.b64decode(value["base64"], validate=True)
    raise ValueError("neither text nor base64")


#: What asks for an end; on some systems nobody hangs up.
_ENDS = {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}


class Stop:
    """Whether somebody wants an end. The first signal asks for it, the second one does not ask."""

    def __init__(self) -> None:
        self.wanted = False
        self.signal: int | None = None
        # No threading.Event: a signal interrupts anything, and its handler might wait for a lock of its own thread.
        self._end, self._other_end = socket.socketpair()
        self._end.setblocking(False)

    def __enter__(self) -> Stop:
        # What is ignored, as under nohup, stays ignored.
        heard = [number for number in _ENDS if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._hear) for number in {signal.SIGINT, *heard}}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, _: object) -> None:
        if self.wanted:
            raise KeyboardInterrupt
        self.signal = number
        self.ask()

    def ask(self) -> None:
        """Asks for an end."""
        self.wanted = True
        with suppress(OSError):
            # It stays there: whoever waits, now or later, sees it.
            self._end.send(b"!")

    def wait(self, seconds: float) -> bool:
        """Waits, but not beyond the wish; whether it came."""
        if not self.wanted:
            select.select([self._other_end], [], [], max(0.0, seconds))
        return self.wanted
