"""OpenAI's chat completions and responses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from .api import Api, Collector, Json, event

#: What only the chunks of a stream have, and what only the whole has.
_OF_A_STREAM = ("choices", "object", "obfuscation", "usage")


_HOME = "https://api.openai.com/v1"


class Chat(Api):
    """Chat completions."""

    path = "/chat/completions"
    home = _HOME

    def takes(self, body: Json) -> bool:
        # The server is to keep it. The parts of a spoken answer name each other for an hour only.
        return isinstance(body.get("messages"), list) and not (body.get("store") or body.get("audio"))

    def collector(self, body: Json) -> Collector:
        return _Chunks(body)

    def serves(self, answer: Json, body: Json, stream: bool) -> bool:
        # A null: the stream that it was made of did not tell its usage, as nobody had asked. Without any: the server
        # does not tell it, and would not this time.
        return answer.get("usage", {}) is not None or (stream and not _wants_usage(body))

    def events(self, answer: Json, body: Json) -> Iterator[Json]:
        wants_usage = _wants_usage(body)
        head = {name: value for name, value in answer.items() if name not in _OF_A_STREAM}
        head["object"] = "chat.completion.chunk"
        more: Json = {"usage": None} if wants_usage else {}
        for choice in answer["choices"]:
            for part in _parts(choice):
                yield head | {"choices": [part]} | more
        if wants_usage and answer.get("usage") is not None:
            yield head | {"choices": [], "usage": answer["usage"]}

    def wire(self, answer: Json, body: Json) -> bytes:
        return b"".join(map(event, self.events(answer, body))) + event("[DONE]")


def _wants_usage(body: Json) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


def _parts(choice: Json) -> Iterator[Json]:
    """The chunks of one choice: who speaks, what is said, that it is over."""
    index = choice.get("index", 0)
    message = {name: value for name, value in (choice.get("message") or {}).items() if value not in (None, [])}
    role = message.pop("role", "assistant")
    opening = {"role": role} | ({"content": ""} if message.get("content") else {})
    yield {"index": index, "delta": opening, "logprobs": None, "finish_reason": None}
    if message:
        yield {"index": index, "delta": message, "logprobs": choice.get("logprobs"), "finish_reason": None}
    rest = {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs")}
    yield {"index": index, "delta": {}, "logprobs": None} | rest


class _Chunks(Collector):
    #: What is told bit by bit.
    _TEXTS = ("content", "refusal", "reasoning", "reasoning_content")

    def __init__(self, body: Json) -> None:
        self._wants_usage = _wants_usage(body)
        self._expected = body.get("n") or 1
        self._head: Json = {}
        self._choices: dict[int, Json] = {}
        self._usage: Json | None = None

    def add(self, event: Json) -> None:
        for name, value in event.items():
            if name not in _OF_A_STREAM and self._head.get(name) is None:
                self._head[name] = value
        self._usage = event.get("usage") or self._usage
        for part in event.get("choices") or ():
            choice = self._choices.setdefault(
                part.get("index", 0), {"message": {"role": "assistant", "content": None, "refusal": None}}
            )
            for name, value in part.items():
                if name == "delta":
                    self._say(choice["message"], value or {})
                elif name == "logprobs":
                    _extend(choice, name, value)
                elif value is not None or name not in choice:
                    choice[name] = value

    def _say(self, message: Json, delta: Json) -> None:
        for name, value in delta.items():
            there = message.get(name)
            if value is None:
                message.setdefault(name, None)
            elif there is None:
                message[name] = value
            elif name in self._TEXTS and isinstance(there, str) and isinstance(value, str):
                message[name] = there + value
            elif name == "tool_calls" or (isinstance(there, list) and value != there):
                message[name] = [*there, *value]
            elif value != there or (name != "role" and value and isinstance(value, (str, list))):
                # Told twice, it may be meant once or twice.
                raise ValueError(f"more than one {name} in one message")

    @property
    def is_over(self) -> bool:
        # What ends it is no chunk.
        return False

    @property
    def is_whole(self) -> bool:
        finished = [choice for choice in self._choices.values() if choice.get("finish_reason")]
        return len(finished) >= self._expected and not (self._wants_usage and self._usage is None)

    def answer(self) -> Json:
        choices = [
            {"index": index, "message": choice["message"], "logprobs": choice.get("logprobs")}
            | {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs")}
            for index, choice in sorted(self._choices.items())
        ]
        answer = self._head | {"object": "chat.completion", "choices": choices}
        if self._usage is not None or not self._wants_usage:
            answer["usage"] = self._usage
        return answer


def _extend(choice: Json, name: str, value: Json | None) -> None:
    if value is None:
        return
    there = choice.get(name) or {}
    for part, more in value.items():
        there[part] = [*(there.get(part) or ()), *more] if isinstance(more, list) else there.get(part, more)
    choice[name] = there


class Responses(Api):
    """Responses."""

    path = "/responses"
    home = _HOME

    def takes(self, body: Json) -> bool:
        # Somebody wants that the server keeps these, or it keeps what they go on from.
        if body.get("store") or body.get("background"):
            return False
        return isinstance(body.get("input"), (str, list)) and not any(
            body.get(name) for name in ("previous_response_id", "conversation", "prompt")
        )

    def apart(self, body: Json) -> Json:
        # One that the server has not kept cannot be gone on from, which others may want to.
        return {"store": False} if body.get("store") is False else {}

    def collector(self, body: Json) -> Collector:
        return _Completed()

    def events(self, answer: Json, body: Json) -> Iterator[Json]:
        numbers = count()

        def said(kind: str, **more: Any) -> Json:
            return {"type": f"response.{kind}", "sequence_number": next(numbers)} | more

        begun = answer | {"status": "in_progress", "output": [], "usage": None}
        yield said("created", response=begun)
        yield said("in_progress", response=begun)
        for index, item in enumerate(answer["output"]):
            parts = item.get("content") if item.get("type") == "message" else None
            opened = item if parts is None else item | {"status": "in_progress", "content": []}
            yield said("output_item.added", output_index=index, item=opened)
            for place, part in enumerate(parts or ()):
                where = {"item_id": item.get("id"), "output_index": index, "content_index": place}
                yield from _content(said, where, part)
            yield said("output_item.done", output_index=index, item=item)
        yield said("completed", response=answer)


def _content(said: Any, where: Json, part: Json) -> Iterator[Json]:
    match part.get("type"):
        case "output_text":
            yield said("content_part.added", **where, part=part | {"text": "", "annotations": []})
            logprobs = part.get("logprobs") or []
            yield said("output_text.delta", **where, delta=part["text"], logprobs=logprobs)
            for number, annotation in enumerate(part.get("annotations") or ()):
                yield said("output_text.annotation.added", **where, annotation_index=number, annotation=annotation)
            yield said("output_text.done", **where, text=part["text"], logprobs=logprobs)
        case "refusal":
            yield said("content_part.added", **where, part=part | {"refusal": ""})
            yield said("refusal.delta", **where, delta=part["refusal"])
            yield said("refusal.done", **where, refusal=part["refusal"])
        case _:
            yield said("content_part.added", **where, part=part)
    yield said("content_part.done", **where, part=part)


class _Completed(Collector):
    """The last event has all of it."""

    def __init__(self) -> None:
        self._answer: Json | None = None

    def add(self, event: Json) -> None:
        if event.get("type") in ("response.completed", "response.incomplete", "response.failed"):
            self._answer = event.get("response")

    @property
    def is_over(self) -> bool:
        return self._answer is not None

    @property
    def is_whole(self) -> bool:
        return self.is_over

    def answer(self) -> Json:
        assert self._answer is not None
        return self._answer


APIS = (Chat(), Responses())
