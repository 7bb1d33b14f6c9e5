"""Files of prompts: lines of JSON, or CSV."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ..ops import Keep
from ..question import Question, canonical
from .app import CliError

#: What may be told of an answer, by the names of `Keep`.
KEPT = frozenset(["strategy", "ttl", "persist", "stale", "type", "tags", "tokens", "cost", "latency", "meta"])
_KEEP = KEPT | {"ex", "px", "exat", "pxat", "keepttl"}
_FLAGS = frozenset(["persist", "keepttl"])
_QUESTION = frozenset(["prompt", "request", "model", "system", "params", "scope"])
#: What may stand in columns of CSV as JSON.
_NESTED = frozenset(["request", "params", "meta", "tokens"])


@dataclass(frozen=True)
class WarmItem:
    """A line of the file."""

    #: Where it stands, counted from 1.
    line: int
    question: Question
    #: None where it is still to be made.
    response: bytes | None
    keep: Keep
    #: Names it, whatever its place is.
    key: str


def read(path: Path, defaults: Mapping[str, Any]) -> Iterator[WarmItem]:
    """All items of a file. `defaults` are told where a line does not say otherwise."""
    lines = _csv(path) if path.suffix.lower() == ".csv" else _jsonl(path)
    for line, fields in lines:
        try:
            yield _item(line, fields, defaults)
        except (ValueError, TypeError) as error:
            raise CliError(f"{path}:{line}: {error}") from error


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as file:
        for line, data in enumerate(file, 1):
            data = data.removeprefix(codecs.BOM_UTF8) if line == 1 else data
            if not data.strip():
                continue
            try:
                fields = json.loads(data.decode())
            except ValueError as error:
                raise CliError(f"{path}:{line}: no JSON: {error}") from error
            if not isinstance(fields, dict):
                raise CliError(f"{path}:{line}: must be an object of JSON")
            yield line, fields


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(1 << 27)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file)
        for row in rows:
            if None in row:
                raise CliError(f"{path}:{rows.line_num}: more columns than titles")
            told = {name.strip().lower(): value for name, value in row.items() if value not in (None, "")}
            try:
                yield rows.line_num, {name: _cell(name, value) for name, value in told.items()}
            except ValueError as error:
                raise CliError(f"{path}:{rows.line_num}: {error}") from error


def _cell(name: str, value: str) -> Any:
    if name == "tags":
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    if name in _FLAGS:
        return value.lower() in ("1", "true", "yes")
    if name in _NESTED:
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"{name} must be JSON: {error}") from error
    return value


def _item(line: int, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> WarmItem:
    unknown = set(given) - _KEEP - _QUESTION - {"response"}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)!r}")
    if ("prompt" in given) == ("request" in given):
        raise ValueError("an item needs a prompt or a request")
    # Half a pair of surrogates is JSON, but no text.
    json.dumps(given, ensure_ascii=False).encode()
    own = {key for key in ("ex", "px", "exat", "pxat", "ttl", "persist", "keepttl", "strategy") if key in given}
    told = {key: value for key, value in defaults.items() if not (own and key in ("ttl", "persist", "strategy"))}
    if "request" in given:
        told = {key: value for key, value in told.items() if key not in ("model", "system")}
    told |= given
    response = told.pop("response", None)
    question = _question(told)
    data = None if response is None else _response(response)
    named = canonical([told, None if data is None else data.hex()])
    return WarmItem(line, question, data, _keep(told), hashlib.sha256(named.encode()).hexdigest()[:24])


def _question(told: Mapping[str, Any]) -> Question:
    prompt = told.get("request", told.get("prompt"))
    if isinstance(prompt, str) and "request" in told:
        prompt = json.loads(prompt)
    if "request" in told and not isinstance(prompt, dict):
        raise ValueError("request must be an object")
    if "prompt" in told and (not isinstance(prompt, str) or not prompt):
        raise ValueError("prompt must be a text that is not empty")
    params = told.get("params")
    params = json.loads(params) if isinstance(params, str) else params
    texts: dict[str, Any] = {key: told.get(key) or "" for key in ("model", "system", "scope")}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{key} must be a text")
    if params is not None and not isinstance(params, dict):
        raise ValueError("params must be an object")
    return Question(prompt, params=params, **texts)


def _response(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).encode()


def _keep(told: Mapping[str, Any]) -> Keep:
    keep = kept({name: told[name] for name in KEPT if told.get(name) is not None})
    if "ex" in told:
        keep["ttl"] = _number("ex", told["ex"])
    if "px" in told:
        keep["ttl"] = _number("px", told["px"]) / 1000
    if "exat" in told:
        keep["expires_at"] = int(_number("exat", told["exat"]) * 1000)
    if "pxat" in told:
        keep["expires_at"] = int(_number("pxat", told["pxat"]))
    return Keep(**keep, keep_ttl=bool(told.get("keepttl")))


def kept(told: Mapping[str, Any]) -> dict[str, Any]:
    """How an answer is to be kept, by the names of `Keep`, as a file or a model told it."""
    keep: dict[str, Any] = {}
    for name, value in told.items():
        match name:
            case "strategy" | "type":
                if not isinstance(value, str):
                    raise ValueError(f"{name} must be a text")
                keep[name] = value
            case "ttl" | "stale" | "latency":
                keep[name] = _number(name, value)
            case "persist":
                keep[name] = bool(value)
            case "cost":
                keep[name] = dollars(value)
            case "tags" if value:
                if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
                    raise ValueError("tags must be an array of texts")
                keep[name] = tuple(map(str, value))
            case "tokens" if value:
                keep[name] = _tokens(value)
            case "meta":
                keep[name] = json.loads(value) if isinstance(value, str) else value
    return keep


def dollars(value: Any) -> Decimal:
    """US dollars that somebody typed or told."""
    try:
        cost = Decimal(str(value))
    except InvalidOperation:
        cost = Decimal("NaN")
    if not cost.is_finite():
        raise ValueError(f"a cost is a number of US dollars, got {value!r}")
    return cost


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a number: {error}") from error
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {value!r}")
    return number


def _tokens(value: Any) -> tuple[int, int]:
    try:
        into, out = map(int, value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"tokens must be two numbers, in and out, got {value!r}") from error
    return into, out
