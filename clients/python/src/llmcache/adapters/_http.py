"""What headers say: about caching, about encodings, about what a client has already."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

RawHeaders = Iterable[tuple[bytes, bytes]]

_DIRECTIVE = re.compile(r"""([\w-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,"]*)))?""")

#: About one connection or one transfer, or made anew for each response.
_NOT_KEPT = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    "upgrade content-length age x-cache".split()
)


class Headers:
    """Headers of a request or a response, by names in lower case."""

    def __init__(self, raw: RawHeaders) -> None:
        self.all = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]

    def __contains__(self, name: str) -> bool:
        return any(name == each for each, _ in self.all)

    def get(self, name: str) -> str:
        """All values of this name in one."""
        return ", ".join(value.strip() for each, value in self.all if each == name)

    def words(self, name: str) -> list[str]:
        """The values of a list, in lower case."""
        return [word.strip().lower() for word in self.get(name).split(",") if word.strip()]

    def kept(self) -> list[tuple[str, str]]:
        """Those that are part of a stored response."""
        named = set(self.words("connection"))
        return [(name, value) for name, value in self.all if name not in _NOT_KEPT and name not in named]


class Control:
    """The directives of Cache-Control."""

    def __init__(self, headers: Headers) -> None:
        self._directives: dict[str, str] = {}
        for name, quoted, plain in _DIRECTIVE.findall(headers.get("cache-control")):
            self._directives.setdefault(name.lower(), quoted or plain)
        if not self._directives and "no-cache" in headers.words("pragma"):
            self._directives["no-cache"] = ""

    def __contains__(self, name: str) -> bool:
        return name in self._directives

    def says(self, *names: str) -> bool:
        """Whether it has any of these."""
        return any(name in self._directives for name in names)

    def seconds(self, name: str) -> int | None:
        """The seconds of a directive, 0 where they are none; None where it is not there."""
        if name not in self._directives:
            return None
        return whole(self._directives[name]) or 0


@dataclass(frozen=True)
class Life:
    """For how many seconds a response is fresh, and for how many more it may serve while somebody makes a new one, and
    when nobody can."""

    fresh: float
    while_revalidate: float = 0.0
    if_error: float = 0.0


def stated_life(headers: Headers, control: Control) -> float | None:
    """For how many seconds a response says that it is fresh here; None where it does not."""
    for name in ("s-maxage", "max-age"):
        stated = control.seconds(name)
        if stated is not None:
            return float(stated)
    if "expires" not in headers:
        return None
    expires, date = _time(headers.get("expires")), _time(headers.get("date"))
    return 0.0 if expires is None else expires - (time.time() if date is None else date)


def stated_age(headers: Headers) -> int:
    """How many seconds old a response is when it comes: as it says, or by the time when it was made."""
    date = _time(headers.get("date"))
    return max(whole(headers.get("age")) or 0, 0 if date is None else int(time.time() - date))


def whole(text: str) -> int | None:
    """A number of seconds or bytes, or what is more than any of these; None of all else."""
    if not (text.isascii() and text.isdigit()):
        return None
    return min(int(text[-20:]), 1 << 31) if len(text.lstrip("0")) < 20 else 1 << 31


@dataclass(frozen=True)
class Stored:
    """A response as it is kept; or, without a status, where to look instead."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    #: Seconds of Unix time.
    made: float = 0.0
    #: How old it was then.
    age: int = 0
    life: Life = Life(0.0)
    #: The headers on whose values it depends.
    vary: list[str] | None = None
    #: Whether responses to this question are never kept, so that nobody needs to wait for them.
    passes: bool = False
    body: bytes = b""

    def encode(self) -> bytes:
        """As bytes."""
        return json.dumps(asdict(replace(self, body=b"")) | {"body": None}).encode() + b"\n" + self.body

    @classmethod
    def decode(cls, data: bytes) -> Stored:
        """Of bytes. A ValueError where they are no response."""
        head, found, body = data.partition(b"\n")
        told = json.loads(head)
        if not found or not isinstance(told, dict) or set(told) != set(cls.__dataclass_fields__):
            raise ValueError("no response")
        return cls(**(told | {"life": Life(**told["life"]), "body": body}))

    def age_now(self) -> float:
        """How old it is, in seconds."""
        return max(0.0, time.time() - self.made) + self.age

    def header(self, name: str) -> str:
        """One of its headers."""
        return ", ".join(value for each, value in self.headers if each == name)


def takes_gzip(headers: Headers) -> bool:
    """Whether a client would rather have gzip than nothing."""
    weights: dict[str, float] = {}
    for word in headers.words("accept-encoding"):
        coding, *parameters = [part.strip() for part in word.split(";")]
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                weight = _number(value)
        weights["gzip" if coding == "x-gzip" else coding] = weight
    gzip = weights.get("gzip", weights.get("*", 0.0))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def is_known(request: Headers, etag: str, modified: str) -> bool:
    """Whether the client has this already."""
    if "if-none-match" in request:
        known = request.get("if-none-match")
        tags = re.findall(r'(?:W/)?("[^"]*")', known)
        return known.strip() == "*" or etag.removeprefix("W/") in tags
    since, changed = _time(request.get("if-modified-since")), _time(modified)
    return since is not None and changed is not None and changed <= since


def joined(headers: list[tuple[str, str]], name: str, value: str) -> list[tuple[str, str]]:
    """Headers in which a list has this value too."""
    has = [word.strip() for each, words in headers if each == name for word in words.split(",")]
    if value.lower() in (word.lower() for word in has) or "*" in has:
        return headers
    return [(each, words) for each, words in headers if each != name] + [(name, ", ".join([*has, value]))]


def raw(headers: Iterable[tuple[str, str]] | Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """As they are sent."""
    pairs: Any = headers.items() if isinstance(headers, Mapping) else headers
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _time(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
