"""What is asked of a server beside its caches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .. import Cache
from ..backends import Server
from ..flows import Send
from ..ops import fields, plain
from .app import CliError, Session


def server(cache: Cache) -> Server:
    """The server of a cache."""
    backend = cache.backend
    if not isinstance(backend, Server):
        raise CliError("this needs a server")
    return backend


def caches(settings: Session) -> list[str]:
    """The names of all caches."""
    with settings.cache() as cache:
        asked = server(cache)
        found = [key.decode("utf-8", "replace") for key in asked.client().scan_iter(count=1000, _type="llm-cache")]
    return sorted({key.rpartition(":{")[0] if asked.cluster else key for key in found})


def describe(cache: Cache) -> str:
    """What the server is."""
    told = server(cache).client().info("server")
    first = told if "redis_version" in told else next((node for node in told.values() if isinstance(node, dict)), {})
    if "valkey_version" in first:
        return f"Valkey {first['valkey_version']}, {first.get('os', '')}"
    return f"Redis {first.get('redis_version', '?')}, {first.get('os', '')}"


def remove(cache: Cache) -> None:
    """Deletes a cache with its key."""
    for key in server(cache).keys:
        server(cache).client().unlink(key)


def now(cache: Cache) -> int:
    """The server's seconds of Unix time."""
    told = server(cache).client().time()
    return int(told[0]) if isinstance(told, (tuple, list)) else int(time.time())


def info(cache: Cache) -> Mapping[str, Any]:
    """The policy and the state of a cache; of one in several parts, theirs together."""
    asked = server(cache)
    replies = [asked.send(Send(asked, ["LLMCACHE.INFO", key])) for key in asked.keys]
    parts: list[dict[str, Any]] = [plain(fields(reply)) for reply in replies if reply is not None]
    if not parts:
        raise CliError(f"there is no cache {cache.name!r}")
    whole = dict(parts[0])
    if len(parts) > 1:
        whole["memory"] = {name: sum(part["memory"][name] for part in parts) for name in whole["memory"]}
        whole["maxmemory"] = sum(part["maxmemory"] for part in parts)
        whole["alerts"] = [alert for part in parts for alert in part["alerts"]]
        whole["warnings"] = list(dict.fromkeys(warning for part in parts for warning in part["warnings"]))
    return whole
