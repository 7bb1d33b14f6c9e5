"""A Redis or Valkey server with the module, or a cluster of them."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from .. import ops
from ..flows import Flow, Send
from ..question import Word
from ..types import LlmcacheError, Refused, Unavailable, Unsupported, Warmed
from .base import Backend

T = TypeVar("T")

#: Over how many keys a cache is split in a cluster. It must be the same for all who use it, and never change.
PARTS = 16

#: What servers say that cannot answer now, but will.
_LATER = (
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "READONLY",
    "MISCONF",
    "OOM",
    "NOREPLICAS",
    "BUSY",
    "UNBLOCKED",
)


class Server(Backend):
    """Sends operations to a server.

    In a cluster a cache is split by context over several keys, so that all nodes hold and serve some of it; no hit is
    lost, since an answer only ever serves its own context.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        name: str = "llm",
        *,
        cluster: bool = False,
        parts: int = PARTS,
        timeout: float = 2.0,
        connect_timeout: float = 1.0,
        options: dict[str, Any] | None = None,
    ) -> None:
        if url.startswith(("redis+cluster://", "rediss+cluster://")):
            url, cluster = url.replace("+cluster", "", 1), True
        self.url, self.name, self.cluster = url, name, cluster
        self.keys = [f"{name}:{{{part}}}" for part in range(parts)] if cluster else [name]
        self._timeout = timeout
        self._options = {"protocol": 3, "socket_connect_timeout": connect_timeout} | (options or {})
        self._lock = threading.Lock()
        self._clients: dict[float, Any] = {}
        self._aclients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Any]]
        self._aclients = weakref.WeakKeyDictionary()

    # Operations

    def flow(self, op: ops.Op[T]) -> Flow[T]:
        context = op.context()
        if len(self.keys) == 1 or context is not None:
            return (yield from self._one(op, self._key(context)))
        return cast(T, (yield from self._all(op)))

    def _key(self, context: bytes | None) -> str:
        if context is None or len(self.keys) == 1:
            return self.keys[0]
        return self.keys[int.from_bytes(context[:8], "big") % len(self.keys)]

    def _one(self, op: ops.Op[T], key: str) -> Flow[T]:
        block = op.block_ms / 1000 if isinstance(op, ops.Fetch) else 0.0
        # A long WARM is answered when all of it is stored.
        block = max(block, 30.0) if isinstance(op, (ops.Warm, ops.Invalidate, ops.Raw)) else block
        reply = yield Send(self, op.words(key), key, block)
        return op.read(reply)

    def _all(self, op: ops.Op[Any]) -> Flow[Any]:
        """One that is about all parts."""
        if isinstance(op, ops.Scan):
            return (yield from self._scan(op))
        if isinstance(op, ops.Warm):
            return (yield from self._warm(op))
        if isinstance(op, ops.Raw) and op.command == "LLMCACHE.WARM" and "PLAN" in op.rest:
            raise Unsupported("a plan belongs to one key: the parts of a split cache would all hand out all of it")
        told = []
        for key in self.keys:
            result = yield from self._one(op, key)
            # An entry is in one of them.
            if isinstance(op, (ops.GetEntry, ops.Feedback)) and result:
                return result
            told.append(result)
        match op:
            case ops.Invalidate():
                return sum(told)
            case ops.GetStats(by=None):
                return ops.add(told)
            case ops.GetStats():
                names = {name: [part[name] for part in told if name in part] for part in told for name in part}
                return {name: ops.add(parts) for name, parts in names.items()}
            case ops.TakeDue():
                return [due for part in told for due in part]
            case _:
                return told[0]

    def _scan(self, op: ops.Scan) -> Flow[tuple[str, list[tuple[str, str]]]]:
        part, _, cursor = op.cursor.rpartition(":")
        number = int(part or 0)
        page = ops.Scan(cursor, op.count, op.match, op.tag, op.model, op.scope)
        cursor, found = yield from self._one(page, self.keys[number])
        if cursor == "0":
            number += 1
        return ("0" if number == len(self.keys) else f"{number}:{cursor}"), found

    def _warm(self, op: ops.Warm) -> Flow[Warmed]:
        places: dict[str, list[int]] = {}
        for position, item in enumerate(op.items):
            places.setdefault(self._key(item.question.context), []).append(position)
        stored, skipped, rejected = 0, 0, 0
        errors: list[tuple[int, str]] = []
        for key, positions in places.items():
            part = ops.Warm(tuple(op.items[position] for position in positions), op.only_new)
            warmed = yield from self._one(part, key)
            stored, skipped = stored + warmed.stored, skipped + warmed.skipped
            rejected += warmed.rejected
            errors += [(positions[position], why) for position, why in warmed.errors]
        return Warmed(stored, skipped, rejected, tuple(sorted(errors)))

    # The wire

    def send(self, words: list[Word], key: str | None, timeout: float | None) -> Any:
        """Sends a command."""
        try:
            if timeout and not self.cluster:
                return self._send_patiently(words, timeout)
            return self.client(timeout or 0.0).execute_command(*words)
        except Exception as error:
            raise _meaning(error) from error

    async def asend(self, words: list[Word], key: str | None, timeout: float | None) -> Any:
        """Sends a command from an event loop."""
        try:
            client = self.aclient(timeout or 0.0)
            if not timeout:
                return await client.execute_command(*words)
            sent = asyncio.ensure_future(client.execute_command(*words))
            try:
                while not (await asyncio.wait({sent}, timeout=self._timeout))[0]:
                    await self.aclient().ping()
                return sent.result()
            finally:
                sent.cancel()
        except Exception as error:
            raise _meaning(error) from error

    def _send_patiently(self, words: list[Word], patience: float) -> Any:
        """Sends a command whose reply may take long, and asks meanwhile whether the server is there at all."""
        pool = self.client().connection_pool
        connection, until = pool.get_connection(), time.monotonic() + patience + self._timeout
        try:
            connection.send_command(*words)
            while not connection.can_read(timeout=self._timeout):
                if time.monotonic() > until:
                    raise exceptions.TimeoutError("no reply in time")
                self.client().ping()
            return connection.read_response()
        except BaseException as error:
            # A reply that is still to come must not be taken for that of another command.
            if not isinstance(error, exceptions.ResponseError):
                connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def client(self, patience: float = 0.0) -> Any:
        """A client that waits so much longer for a reply than others."""
        with self._lock:
            if patience not in self._clients:
                made: Callable[..., Any] = RedisCluster.from_url if self.cluster else redis.Redis.from_url
                self._clients[patience] = made(self.url, **self._settings(patience, Retry(NoBackoff(), 0)))
            return self._clients[patience]

    def aclient(self, patience: float = 0.0) -> Any:
        """The same for the running event loop."""
        clients = self._aclients.setdefault(asyncio.get_running_loop(), {})
        if patience not in clients:
            made: Callable[..., Any]
            made = AsyncRedisCluster.from_url if self.cluster else redis.asyncio.Redis.from_url
            clients[patience] = made(self.url, **self._settings(patience, AsyncRetry(NoBackoff(), 0)))
        return clients[patience]

    def _settings(self, patience: float, retry: Any) -> dict[str, Any]:
        settings = {"socket_timeout": self._timeout + patience, **self._options}
        if not self.cluster:
            # Whoever stands behind tries again: a lease whose reply was lost would be waited for.
            settings.setdefault("retry", retry)
        return settings

    def close(self) -> None:
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    async def aclose(self) -> None:
        self.close()
        for client in self._aclients.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()


def _meaning(error: Exception) -> Exception:
    """What a client's exception means here."""
    if isinstance(error, LlmcacheError):
        return error
    said = str(error)
    if isinstance(error, (exceptions.NoPermissionError, exceptions.DataError)):
        return Refused(said)
    gone = (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.ReadOnlyError,
        OSError,
        asyncio.TimeoutError,
    )
    if isinstance(error, (*gone, exceptions.ClusterError, exceptions.RedisClusterException)):
        return Unavailable(said or type(error).__name__)
    if isinstance(error, exceptions.ResponseError):
        if "unknown command" in said.lower():
            return Unavailable("the server has no LLMCACHE module: start it with --loadmodule libllmcache.so")
        if said.startswith(_LATER) or isinstance(error, exceptions.OutOfMemoryError):
            return Unavailable(said)
        return Refused(said)
    return error
