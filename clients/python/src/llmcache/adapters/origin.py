"""Who is asked, and what is said to them beside the body of a request: an answer depends on that as well."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

#: The field that tells it, beside those of the body. A request as any client sends it has none.
FIELD = "llmcache"

#: How a request is sent, and by what it is traced: nothing that an answer depends on.
_OF_TRANSPORT = frozenset(
    "accept accept-encoding baggage connection content-length content-type idempotency-key keep-alive sentry-trace "
    "traceparent tracestate user-agent x-client-request-id x-correlation-id x-idempotency-key x-request-id".split()
)
_OF_TRANSPORT_TOO = ("x-stainless-", "x-b3-", "x-datadog-")

#: What clients send of themselves that is no constant. A call that says nothing about it does not take it back.
_OF_CLIENT = frozenset(["openai-organization", "openai-project", "anthropic-workspace-id", "anthropic-user-profile-id"])


def origin(client: Any, home: str, options: Any) -> dict[str, Any]:
    """What tells this request from one with the same body by a client that was made of an API key alone."""
    told: dict[str, Any] = {}
    base = str(client.base_url).rstrip("/")
    if base != home:
        told["base_url"] = _legible(base)
    project = getattr(client, "project_id", None)
    if isinstance(project, str):
        told["project"] = project
    headers = _headers(client, options)
    if headers:
        told["headers"] = hashed(headers)
    query = {**client.default_query, **(options.params if isinstance(options.params, Mapping) else {})}
    if query:
        told["query"] = hashed(query)
    return told


def relevant(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that an answer may depend on: all but those known to be of transport."""
    lower = {name.lower(): value for name, value in headers.items()}
    return {
        name: value
        for name, value in lower.items()
        if name not in _OF_TRANSPORT and not name.startswith(_OF_TRANSPORT_TOO)
    }


def hashed(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as what only tells them apart, as some are secret."""
    return {name: _hash(values[name]) for name in sorted(values)}


def is_given(value: Any) -> bool:
    """Whether an argument of an SDK was given."""
    return type(value).__name__ not in ("Omit", "NotGiven")


def _headers(client: Any, options: Any) -> dict[str, Any]:
    custom = {name.lower() for name in client._custom_headers}
    sent = relevant(client.default_headers)
    sent = {name: value for name, value in sent.items() if name in custom | _OF_CLIENT and is_given(value)}
    for name, value in relevant(options.headers if isinstance(options.headers, Mapping) else {}).items():
        if is_given(value):
            sent[name] = value
        elif name not in _OF_CLIENT:
            sent.pop(name, None)
    return sent


def _legible(url: str) -> str:
    """An address without the secrets in it."""
    parts = urlsplit(url)
    who, _, host = parts.netloc.rpartition("@")
    secrets = who + parts.query
    return f"{parts.scheme}://{host}{parts.path}" + (f"#{_hash(secrets)}" if secrets else "")


def _hash(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
