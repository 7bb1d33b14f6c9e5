"""An endpoint of this machine that answers as those of OpenAI and Anthropic do, and says how often it was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

Json = dict[str, Any]
Event = tuple[str | None, Any]

#: Type and message of each error, as the APIs name them.
ERRORS = {400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller who goes away is none."""


class FakeLlm:
    """Answers each request with another text, unless told what to answer."""

    def __init__(self) -> None:
        self.calls: list[Json] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        #: The states of the next answers.
        self.errors: list[int] = []
        #: Seconds before an answer, and between the events of a stream.
        self.delay = 0.0
        self.pause = 0.0
        #: After how many events a stream breaks off, or tells an error.
        self.cut_after: int | None = None
        self.error_after: int | None = None
        #: What an answer is in place of "end": "length", "tool" or "filter".
        self.end = "end"
        self.text: str | None = None
        self.sends_done = True
        self.tells_usage = True
        self._numbers = count(1)
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(fake) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                fake.calls.append(body)
                fake.paths.append(self.path)
                fake.headers.append({name.lower(): value for name, value in self.headers.items()})
                time.sleep(fake.delay)
                if fake.errors:
                    return self._tell(fake.errors.pop(0))
                api = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": messages}
                make = api.get(self.path.partition("?")[0])
                if make is None:
                    return self._send(200, {"object": "list", "data": [], "model": "m", "input_tokens": 7})
                number = next(fake._numbers)
                answer, events = make(body, number, fake.text or f"Answer {number}: größer, schöner.", fake.end)
                if body.get("stream"):
                    self._stream(events, is_chat=make is chat)
                else:
                    self._send(200, answer if fake.tells_usage else answer | {"usage": None})

            def _tell(self, status: int) -> None:
                error = {"type": ERRORS[status], "message": "no", "code": None, "param": None}
                self._send(status, {"type": "error", "error": error}, {"retry-after-ms": "5"})

            def _send(self, status: int, answer: Json, headers: dict[str, str] | None = None) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                told = {"content-type": "application/json", "x-request-id": "req_1", "request-id": "req_1"}
                for name, value in {**told, **(headers or {}), "content-length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def _stream(self, events: Iterator[Event], is_chat: bool) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/event-stream; charset=utf-8")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                try:
                    for number, (name, data) in enumerate(events):
                        if number == fake.cut_after:
                            self.close_connection = True
                            return
                        if number == fake.error_after:
                            error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
                            self._event("error", error)
                            break
                        self._event(name, data)
                        time.sleep(fake.pause)
                    else:
                        if is_chat and fake.sends_done:
                            self._event(None, "[DONE]")
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    # The caller has gone away.
                    self.close_connection = True

            def _event(self, name: str | None, data: Any) -> None:
                text = data if isinstance(data, str) else json.dumps(data)
                line = (f"event: {name}\n" if name else "") + f"data: {text}\n\n"
                self.wfile.write(f"{len(line.encode()):x}\r\n".encode() + line.encode() + b"\r\n")
                self.wfile.flush()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def pieces(text: str) -> list[str]:
    return [text[at : at + 5] for at in range(0, len(text), 5)]


def chat(body: Json, number: int, text: str, end: str) -> tuple[Json, Iterator[Event]]:
    """OpenAI chat completions."""
    reason = {"end": "stop", "length": "length", "tool": "tool_calls", "filter": "content_filter"}[end]
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    usage = {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    head = {
        "id": f"chatcmpl-{number}",
        "created": 1700000000 + number,
        "model": f"{body['model']}-2024",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "x_unknown": {"kept": True},
    }
    message: Json = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if end == "tool":
        message |= {"content": None, "tool_calls": calls}
    indices = range(body.get("n") or 1)
    logprobs = {"content": [{"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []}], "refusal": None}
    wants_logprobs = bool(body.get("logprobs"))
    choices = [
        {
            "index": index,
            "message": message | ({"content": f"{text} ({index})"} if index else {}),
            "logprobs": logprobs if wants_logprobs else None,
            "finish_reason": reason,
        }
        for index in indices
    ]
    answer = head | {"object": "chat.completion", "choices": choices, "usage": usage}

    def events() -> Iterator[Event]:
        wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        more: Json = {"usage": None} if wants_usage else {}

        def chunk(index: int, delta: Json, reason: str | None = None, logprobs: Any = None) -> Event:
            choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
            return None, head | {"object": "chat.completion.chunk", "choices": [choice], "obfuscation": "xy"} | more

        for index in indices:
            yield chunk(index, {"role": "assistant", "content": "", "refusal": None})
            if end == "tool":
                yield chunk(index, {"tool_calls": [{"index": 0, **calls[0]}]})
                continue
            for at, piece in enumerate(pieces(choices[index]["message"]["content"])):
                yield chunk(index, {"content": piece}, None, logprobs if wants_logprobs and at == 0 else None)
        for index in indices:
            yield chunk(index, {}, reason)
        if wants_usage:
            yield None, head | {"object": "chat.completion.chunk", "choices": [], "usage": usage}

    return answer, events()


def responses(body: Json, number: int, text: str, end: str) -> tuple[Json, Iterator[Event]]:
    """OpenAI responses."""
    said = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    thought = {"id": f"rs_{number}", "type": "reasoning", "summary": []}
    spoken = {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": [said]}
    called = {
        "id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f",
        "arguments": '{"a": 1}',
    }  # fmt: skip
    output = [thought, called if end == "tool" else spoken]
    answer = {
        "id": f"resp_{number}", "object": "response", "created_at": 1700000000 + number,
        "status": "incomplete" if end in ("length", "filter") else "completed", "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if end == "length" else None,
        "instructions": body.get("instructions"), "model": f"{body['model']}-2024", "output": output,
        "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": body.get("tools") or [],
        "top_p": 1.0, "metadata": {}, "text": {"format": {"type": "text"}}, "x_unknown": 1,
        "usage": {
            "input_tokens": 11, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 16,
        },
    }  # fmt: skip

    def events() -> Iterator[Event]:
        numbers = count()

        def tell(kind: str, **more: Any) -> Event:
            return kind, {"type": kind, "sequence_number": next(numbers), **more}

        begun = answer | {"status": "in_progress", "output": [], "usage": None}
        yield tell("response.created", response=begun)
        yield tell("response.in_progress", response=begun)
        yield tell("response.output_item.added", output_index=0, item=thought)
        yield tell("response.output_item.done", output_index=0, item=thought)
        if end == "tool":
            yield tell("response.output_item.added", output_index=1, item=called | {"arguments": ""})
            where = {"item_id": called["id"], "output_index": 1}
            yield tell("response.function_call_arguments.delta", **where, delta=called["arguments"])
            yield tell("response.function_call_arguments.done", **where, arguments=called["arguments"], name="f")
            yield tell("response.output_item.done", output_index=1, item=called)
        else:
            opened = spoken | {"status": "in_progress", "content": []}
            yield tell("response.output_item.added", output_index=1, item=opened)
            where = {"item_id": spoken["id"], "output_index": 1, "content_index": 0}
            yield tell("response.content_part.added", **where, part=said | {"text": ""})
            for piece in pieces(text):
                yield tell("response.output_text.delta", **where, delta=piece, logprobs=[], obfuscation="xy")
            yield tell("response.output_text.done", **where, text=text, logprobs=[])
            yield tell("response.content_part.done", **where, part=said)
            yield tell("response.output_item.done", output_index=1, item=spoken)
        yield tell(f"response.{answer['status']}", response=answer)

    return answer, events()


def messages(body: Json, number: int, text: str, end: str) -> tuple[Json, Iterator[Event]]:
    """Anthropic messages."""
    reason = {"end": "end_turn", "length": "max_tokens", "tool": "tool_use", "filter": "refusal"}[end]
    content: list[Json] = [{"type": "text", "text": text}]
    if body.get("thinking"):
        content.insert(0, {"type": "thinking", "thinking": "Let me think.", "signature": "c2ln"})
    if end == "tool":
        content.append({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}})
    elif body.get("tools"):
        content.insert(0, {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}})
    usage = {
        "input_tokens": 11,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 3,
        "output_tokens": 5,
        "service_tier": "standard",
    }
    answer = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"], "content": content,
        "stop_reason": reason, "stop_sequence": None, "usage": usage, "x_unknown": [1],
    }  # fmt: skip

    def events() -> Iterator[Event]:
        def tell(kind: str, **more: Any) -> Event:
            return kind, {"type": kind, **more}

        begun = answer | {"content": [], "stop_reason": None, "usage": usage | {"output_tokens": 1}}
        yield tell("message_start", message=begun)
        for index, block in enumerate(content):
            opened, deltas = _bit_by_bit(block)
            yield tell("content_block_start", index=index, content_block=opened)
            if index == 0:
                yield tell("ping")
            for delta in deltas:
                yield tell("content_block_delta", index=index, delta=delta)
            yield tell("content_block_stop", index=index)
        ended = {"stop_reason": reason, "stop_sequence": None}
        yield tell("message_delta", delta=ended, usage={"output_tokens": usage["output_tokens"]})
        yield tell("message_stop")

    return answer, events()


def _bit_by_bit(block: Json) -> tuple[Json, list[Json]]:
    match block["type"]:
        case "text":
            return block | {"text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
        case "thinking":
            told = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])]
            opened = block | {"thinking": "", "signature": ""}
            return opened, [*told, {"type": "signature_delta", "signature": block["signature"]}]
        case _:
            told = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(json.dumps(block["input"]))]
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": ""}, *told]
