"""Entries so that they can be told again, elsewhere.

An entry knows its identity in parts. One that was stored as the body of a request is told again as such a body: not the
one that came, but one that means the same. Which of the two it is, and for which API, its id says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..ops import GetEntry, Op, Scan, fields, text
from ..question import Question, Word
from .app import portable, unportable

PLAIN, CHAT, RESPONSES, ANTHROPIC = range(4)
SHAPES = {PLAIN: "plain", CHAT: "openai-chat", RESPONSES: "openai-responses", ANTHROPIC: "anthropic"}


class RawEntry(GetEntry):
    """An entry as bytes."""

    def read(self, reply: Any) -> Any:
        return None if reply is None else fields(reply)


class RawScan(Scan):
    """A page of ids."""

    def read(self, reply: Any) -> tuple[str, list[tuple[str, str]]]:
        return text(reply[0]), [(text(id), "") for id, _ in reply[1]]


@dataclass(frozen=True)
class Identity:
    """Which entry it is."""

    prompt: bytes
    scope: bytes = b""
    model: bytes = b""
    system: bytes = b""
    params: bytes = b""

    def id(self, shape: int) -> str:
        """The id of the entry of this identity."""
        digest = hashlib.sha256(b"llmcache identity 1" + bytes([shape]))
        for part in (self.scope, self.model, self.system, self.params, self.prompt):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()[:32]

    def shape(self, id: str) -> int | None:
        """The API it was made of, by the id it got."""
        return next((shape for shape in SHAPES if self.id(shape) == id), None)


def request(identity: Identity, shape: int) -> dict[str, Any]:
    """A body that has this identity."""
    body: dict[str, Any] = json.loads(identity.params) if identity.params else {}
    listed = "input" if shape == RESPONSES else "messages"
    kept: list[Any] = body.pop(listed, [None])
    if identity.model:
        body["model"] = identity.model.decode()
    system = identity.system.decode()
    turns: list[Any] = []
    if kept and isinstance(kept[0], list) and all(isinstance(part, list) for part in kept[0][:1]) and kept[0]:
        skeletons, *lengths = kept.pop(0)
        texts = Texts(system, sum(_texts(part) for part in skeletons), lengths)
        turns += [_turn("system", skeleton, texts) for skeleton in skeletons]
        if shape == ANTHROPIC:
            body["system"] = turns.pop(0)["content"]
    elif system and shape == ANTHROPIC:
        body["system"] = system
    elif system:
        turns.append({"role": "system", "content": system})
    for turn in kept:
        if turn is None:
            turns.append({"role": "user", "content": identity.prompt.decode()})
        elif isinstance(turn, list):
            parts, *lengths = turn[1:]
            skeleton = [turn[0], parts]
            turns.append(_turn("user", skeleton, Texts(identity.prompt.decode(), _texts(skeleton), lengths)))
        else:
            turns.append(turn)
    body[listed] = turns
    if shape == ANTHROPIC and "max_tokens" not in body and "system" not in body and not system:
        # An empty system prompt is none, and it is a mark of the API.
        body.setdefault("system", "")
    return body


class Texts:
    """The texts that were joined to one."""

    def __init__(self, joined: str, number: int, lengths: list[list[int]]) -> None:
        if lengths:
            data, self._texts, at = joined.encode(), [], 0
            for length in lengths[0]:
                self._texts.append(data[at : at + length].decode())
                at += length + 1
        else:
            self._texts = joined.split("\n") if number > 1 else [joined] * number
        self._texts.reverse()

    def next(self) -> str:
        """The next one."""
        return self._texts.pop()


def _is_text(part: Mapping[str, Any]) -> bool:
    return part.get("type") in ("text", "input_text", "output_text") and "text" not in part


def _texts(skeleton: list[Any]) -> int:
    return sum(map(_is_text, skeleton[1]))


def _turn(role: str, skeleton: list[Any], texts: Texts) -> dict[str, Any]:
    others, parts = skeleton
    content = [part | {"text": texts.next()} if _is_text(part) else part for part in parts]
    return {"role": role, **others, "content": content}


@dataclass(frozen=True)
class ExplainId(Op[str]):
    """The id that a request would have."""

    body: Mapping[str, Any]
    scope: bytes

    def words(self, key: str) -> list[Word]:
        scope: list[Word] = ["SCOPE", self.scope] if self.scope else []
        return ["LLMCACHE.EXPLAIN", key, json.dumps(self.body, ensure_ascii=False), "REQUEST", *scope]

    def read(self, reply: Any) -> str:
        return text(fields(reply)["digest"])[:32]

    def context(self) -> bytes:
        return Question(self.body, scope=self.scope.decode("utf-8", "replace")).context


@dataclass(frozen=True)
class Restore(Op[bool]):
    """Store an entry as it was told."""

    told: Mapping[str, Any]
    life: tuple[Word, ...]
    only_new: bool

    def words(self, key: str) -> list[Word]:
        told = self.told
        words: list[Word] = ["LLMCACHE.SET", key, self._prompt(), unportable(told["response"])]
        for name in ("model", "system", "params", "scope"):
            if told.get(name) and ("request" not in told or name == "scope"):
                words += [name.upper(), unportable(told[name])]
        if "request" in told:
            words.append("REQUEST")
        if self.only_new:
            words.append("NX")
        words += self.life
        if told.get("type"):
            words += ["TYPE", unportable(told["type"])]
        if told.get("tags"):
            words += ["TAGS", len(told["tags"]), *map(unportable, told["tags"])]
        if told.get("tokens"):
            words += ["TOKENS", *map(int, told["tokens"])]
        if told.get("cost_usd") is not None:
            words += ["COST", str(told["cost_usd"])]
        if told.get("latency_ms"):
            words += ["LATENCY", int(told["latency_ms"])]
        if told.get("meta"):
            words += ["META", unportable(told["meta"])]
        return words

    def _prompt(self) -> Word:
        if "request" in self.told:
            return json.dumps(self.told["request"], ensure_ascii=False)
        return unportable(self.told["prompt"])

    def read(self, reply: Any) -> bool:
        return reply is not None

    def context(self) -> bytes:
        return question(self.told).context


#: One step: nobody who is killed in between leaves an entry that lives too long.
_SCRIPT = """
local stored = redis.call('LLMCACHE.SET', KEYS[1], unpack(ARGV, 3))
if stored then redis.call('LLMCACHE.EXPIRE', KEYS[1], ARGV[1], ARGV[2]) end
return stored
"""


@dataclass(frozen=True)
class RestoreFor(Restore):
    """Store an entry under its strategy, for as long as it has left."""

    seconds: int

    def words(self, key: str) -> list[Word]:
        _, _, *rest = super().words(key)
        return ["EVAL", _SCRIPT, 1, key, str(self.told["id"]), self.seconds, *rest]


def question(told: Mapping[str, Any]) -> Question:
    """What a told entry answers, as far as its place in a cluster depends on it."""

    def word(name: str) -> str:
        return unportable(told.get(name) or "").decode("utf-8", "replace")

    if "request" in told:
        return Question(told["request"], scope=word("scope"))
    params = json.loads(unportable(told["params"])) if told.get("params") else None
    return Question(word("prompt"), word("model"), word("system"), params, word("scope"))


def tell_entry(entry: Mapping[str, Any], now: int) -> dict[str, Any]:
    """An entry for a line of the file, but for the request that it was made of."""
    told: dict[str, Any] = {"id": text(entry["id"])}
    for name in ("prompt", "scope", "model", "system", "params", "type", "meta"):
        if entry[name]:
            told[name] = portable(entry[name])
    told["response"] = portable(entry["response"])
    if entry["tags"]:
        told["tags"] = [portable(tag) for tag in entry["tags"]]
    told["strategy"] = text(entry["strategy"] or "")
    if not entry["estimated"]:
        told["tokens"] = [int(entry["tokens_in"] or 0), int(entry["tokens_out"] or 0)]
    told["cost_usd"] = text(entry["cost_usd"])
    hits = int(entry["hits"])
    if hits and int(entry["latency_saved_ms"]):
        told["latency_ms"] = int(entry["latency_saved_ms"]) // hits
    told["created"] = int(entry["created"])
    ttl = int(entry["ttl"])
    told["expires_at"] = None if ttl == -1 else now + ttl * 1000
    return told
