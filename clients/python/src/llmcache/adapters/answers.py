"""Which answers of the chat APIs must not be kept. The server refuses the same ones; what stands in for it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The items of an OpenAI response that wait for the client.
_CALLS = frozenset(
    [
        "function_call",
        "custom_tool_call",
        "computer_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "mcp_approval_request",
    ]
)
_UNFINISHED_CHOICES = ("length", "content_filter", "max_tokens", "model_length", None)
_UNFINISHED_MESSAGES = ("max_tokens", "pause_turn", "model_context_window_exceeded", "refusal", None)


def refusal(answer: Any) -> str | None:
    """Why an answer must not be kept. None where it may be."""
    if not isinstance(answer, Mapping):
        return "is no object"
    error = answer.get("error")
    if isinstance(error, Mapping) or (isinstance(error, str) and error) or "error" in _kinds(answer):
        return "is an error of the API"
    if isinstance(answer.get("choices"), list):
        return _choices(answer["choices"])
    if answer.get("type") == "message" or "stop_reason" in answer:
        return _message(answer)
    if answer.get("object") == "response" or ("output" in answer and "status" in answer):
        return _output(answer)
    return "is no answer of a chat API"


def _kinds(answer: Mapping[str, Any]) -> tuple[Any, Any]:
    return answer.get("type"), answer.get("object")


def _choices(choices: list[Any]) -> str | None:
    if not choices:
        return "is not a finished answer"
    for choice in choices:
        if not isinstance(choice, Mapping):
            return "is not a finished answer"
        message, reason = choice.get("message"), choice.get("finish_reason")
        message = message if isinstance(message, Mapping) else {}
        if message.get("tool_calls") or message.get("function_call") or reason in ("tool_calls", "function_call"):
            return "is a tool call"
        if reason in _UNFINISHED_CHOICES:
            return "is not a finished answer"
        if reason == "error":
            return "is an error of the API"
    return None


def _message(answer: Mapping[str, Any]) -> str | None:
    reason = answer.get("stop_reason")
    if "tool_use" in _types(answer.get("content")) or reason == "tool_use":
        return "is a tool call"
    return "is not a finished answer" if reason in _UNFINISHED_MESSAGES else None


def _output(answer: Mapping[str, Any]) -> str | None:
    if answer.get("status") == "failed":
        return "is an error of the API"
    if answer.get("status") != "completed":
        return "is not a finished answer"
    return None if _CALLS.isdisjoint(_types(answer.get("output"))) else "is a tool call"


def _types(parts: Any) -> set[str]:
    return {str(part.get("type")) for part in parts or () if isinstance(part, Mapping)}
