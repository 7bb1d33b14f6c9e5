"""Anthropic's messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .api import Api, Collector, Json

#: What is told at the end of a stream. All else of a message is told at its beginning.
_AT_THE_END = ("stop_reason", "stop_sequence", "stop_details", "container")


class Messages(Api):
    """Messages."""

    path = "/v1/messages"
    home = "https://api.anthropic.com"

    def takes(self, body: Json) -> bool:
        # A container goes on from what happened in it before.
        return isinstance(body.get("messages"), list) and not body.get("container")

    def collector(self, body: Json) -> Collector:
        return _Events()

    def events(self, answer: Json, body: Json) -> Iterator[Json]:
        usage = answer.get("usage") or {}
        begun = {name: value for name, value in answer.items() if name not in _AT_THE_END}
        begun |= {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage | {"output_tokens": 0}}
        yield {"type": "message_start", "message": begun}
        for index, block in enumerate(answer["content"]):
            opened, deltas = _take_apart(block)
            yield {"type": "content_block_start", "index": index, "content_block": opened}
            for delta in deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        ended = {name: answer[name] for name in _AT_THE_END if name in answer}
        yield {"type": "message_delta", "delta": ended, "usage": usage}
        yield {"type": "message_stop"}


def _take_apart(block: Json) -> tuple[Json, list[Json]]:
    """How a part of a message begins, and what is added to it."""
    match block.get("type"):
        case "text":
            cited = [{"type": "citations_delta", "citation": citation} for citation in block.get("citations") or ()]
            opened = block | {"text": ""} | ({"citations": []} if cited else {})
            return opened, [*cited, {"type": "text_delta", "text": block["text"]}]
        case "thinking":
            said = {"type": "thinking_delta", "thinking": block["thinking"]}
            signed = {"type": "signature_delta", "signature": block.get("signature") or ""}
            return block | {"thinking": "", "signature": ""}, [said, signed]
        case "server_tool_use" | "mcp_tool_use":
            asked = {"type": "input_json_delta", "partial_json": json.dumps(block.get("input") or {})}
            return block | {"input": {}}, [asked]
        case _:
            return block, []


class _Events(Collector):
    def __init__(self) -> None:
        self._message: Json | None = None
        self._inputs: dict[int, str] = {}
        self._is_over = False

    def add(self, event: Json) -> None:
        kind = event.get("type")
        if kind == "message_start":
            self._message = event["message"] | {"content": []}
            return
        message = self._message
        if message is None:
            raise ValueError(f"{kind} before the message")
        match kind:
            case "content_block_start":
                if event["index"] != len(message["content"]):
                    raise ValueError("parts of a message out of order")
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                self._add_to(message["content"][event["index"]], event["index"], event["delta"])
            case "content_block_stop":
                if event["index"] in self._inputs:
                    message["content"][event["index"]]["input"] = json.loads(self._inputs.pop(event["index"]) or "{}")
            case "message_delta":
                message |= event["delta"]
                # These are of all so far.
                told = {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
                message["usage"] = (message.get("usage") or {}) | told
            case "message_stop":
                self._is_over = True

    def _add_to(self, block: Json, index: int, delta: Json) -> None:
        match delta.get("type"):
            case "text_delta":
                block["text"] += delta["text"]
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
            case "thinking_delta":
                block["thinking"] += delta["thinking"]
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "input_json_delta":
                self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
            case kind:
                raise ValueError(f"{kind} is not known")

    @property
    def is_over(self) -> bool:
        return self._is_over

    @property
    def is_whole(self) -> bool:
        return self._is_over

    def answer(self) -> Json:
        assert self._message is not None
        return self._message


APIS = (Messages(),)
