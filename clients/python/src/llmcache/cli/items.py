"""Files of prompts: lines of JSON, or CSV."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ops import Keep
from ..question import Question, canonical
from .app import CliError

_TEXTS = frozenset(["strategy", "type"])
_NUMBERS = frozenset(["ex", "px", "exat", "pxat", "ttl", "stale", "latency", "cost"])
_FLAGS = frozenset(["persist", "keepttl"])
_KEEP = _TEXTS | _NUMBERS | _FLAGS | {"tags", "tokens", "meta"}
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


def read(path: Path, defaults: Mapping[str, Any], name: str) -> Iterator[WarmItem]:
    """All items of a file. `defaults` are told where a line does not say otherwise."""
    lines = _csv(path) if path.suffix.lower() == ".csv" else _jsonl(path)
    for line, fields in lines:
        try:
            yield _item(line, fields, defaults, name)
        except (ValueError, TypeError) as error:
            raise CliError(f"{path}:{line}: {error}") from error


def _jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                fields = json.loads(text)
            except ValueError as error:
                raise CliError(f"{path}:{line}: no JSON: {error}") from error
            if not isinstance(fields, dict):
                raise CliError(f"{path}:{line}: must be an object of JSON")
            yield line, fields


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(1 << 27)
    with path.open(encoding="utf-8-sig", newline="") as file:
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


def _item(line: int, given: Mapping[str, Any], defaults: Mapping[str, Any], name: str) -> WarmItem:
    unknown = set(given) - _KEEP - _QUESTION - {"response"}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)!r}")
    if ("prompt" in given) == ("request" in given):
        raise ValueError("an item needs a prompt or a request")
    own = {key for key in ("ex", "px", "exat", "pxat", "ttl", "persist", "keepttl", "strategy") if key in given}
    told = {key: value for key, value in defaults.items() if not (own and key in ("ttl", "persist", "strategy"))}
    if "request" in given:
        told = {key: value for key, value in told.items() if key not in ("model", "system")}
    told |= given
    response = told.pop("response", None)
    question = _question(told)
    data = None if response is None else _response(response)
    named = canonical([name, {key: value for key, value in told.items()}, None if data is None else data.hex()])
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
    keep: dict[str, Any] = {key: told[key] for key in ("strategy", "type", "cost", "meta") if key in told}
    numbers = {key: float(told[key]) for key in _NUMBERS - {"cost"} if key in told}
    keep |= {key: numbers[key] for key in ("stale", "latency", "ttl") if key in numbers}
    if "ex" in numbers:
        keep["ttl"] = numbers["ex"]
    if "px" in numbers:
        keep["ttl"] = numbers["px"] / 1000
    if "exat" in numbers:
        keep["expires_at"] = int(numbers["exat"] * 1000)
    if "pxat" in numbers:
        keep["expires_at"] = int(numbers["pxat"])
    if isinstance(keep.get("meta"), str):
        keep["meta"] = json.loads(keep["meta"])
    if told.get("tags"):
        if not isinstance(told["tags"], list):
            raise ValueError("tags must be an array of texts")
        keep["tags"] = tuple(map(str, told["tags"]))
    if told.get("tokens"):
        into, out = told["tokens"]
        keep["tokens"] = (int(into), int(out))
    keep["persist"] = bool(told.get("persist"))
    keep["keep_ttl"] = bool(told.get("keepttl"))
    return Keep(**keep)


class State:
    """What is done already, in a file beside: whoever is killed goes on from there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: set[str] = set()
        if path.exists():
            # The last line of one who was killed may be half.
            self.done = {line for line in path.read_text("ascii", "replace").split("\n") if len(line) == 24}
        self._file = path.open("a", encoding="ascii")
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._file.write("\n")

    def add(self, keys: list[str]) -> None:
        """Notes that these are done; when this returns, a kill does not undo it."""
        self._file.write("".join(f"{key}\n" for key in keys))
        self._file.flush()
        self.done.update(keys)

    def close(self, forget: bool) -> None:
        """No more comes. With `forget` all is done and nothing is to be gone on with."""
        self._file.close()
        if forget:
            self.path.unlink(missing_ok=True)
