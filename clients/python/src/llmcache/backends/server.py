"""A Redis or Valkey server with the module, or a cluster of them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
import redis.asyncio
from redis import exceptions
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from .. import ops
from ..flows import Flow, Send, arun, background
from ..question import Word
from ..types import Crowded, Dropped, LlmcacheError, Refused, Unavailable, Unsupported, Unwilling, Warmed
from .base import Backend
from .forks import OfOneProcess

T = TypeVar("T")

#: Over how many keys a cache is split in a cluster. It must be the same for all who use it, and never change.
PARTS = 16

#: For how many seconds a reply is waited for that nobody wants any more.
_ON_ITS_WAY = 1.0

#: Clients of the process that this one was forked from: whoever took them apart would wait for their locks.
_inherited: list[Any] = []

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


class Server(Backend, OfOneProcess):
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
        connect_timeout: float = 2.0,
        options: dict[str, Any] | None = None,
    ) -> None:
        if url.startswith(("redis+cluster://", "rediss+cluster://")):
            url, cluster = url.replace("+cluster", "", 1), True
        self.url, self.name, self.cluster = _plain_replies(url), name, cluster
        self.keys = [f"{name}:{{{part}}}" for part in range(parts)] if cluster else [name]
        self._timeout = timeout
        self._options = (
            {"protocol": 3, "socket_connect_timeout": connect_timeout} | (options or {}) | {"decode_responses": False}
        )
        self._clients: dict[float, Any] = {}
        self._aclients: dict[asyncio.AbstractEventLoop, dict[float, Any]] = {}
        self._of_this_process()

    def begin_anew(self) -> None:
        # Those of the process before may have locks that a thread of it held; nor are their connections this one's.
        _inherited.extend(clients for clients in (self._clients, self._aclients) if clients)
        self._lock = threading.Lock()
        self._clients, self._aclients = {}, {}

    # Operations

    def flow(self, op: ops.Op[T]) -> Flow[T]:
        if isinstance(op, ops.Warm):
            return cast(T, (yield from self._warm(op)))
        context = op.context()
        if len(self.keys) == 1 or context is not None:
            return (yield from self._one(op, self._key(context)))
        return cast(T, (yield from self._all(op)))

    def _key(self, context: bytes | None) -> str:
        if context is None or len(self.keys) == 1:
            return self.keys[0]
        return self.keys[int.from_bytes(context[:8], "big") % len(self.keys)]

    def _one(self, op: ops.Op[T], key: str) -> Flow[T]:
        patience = op.block_ms / 1000 if isinstance(op, ops.Fetch) else 0.0
        # A long WARM is answered when all of it is stored.
        patience = max(patience, 30.0) if isinstance(op, (ops.Warm, ops.Invalidate, ops.Raw)) else patience
        send = Send(self, op.words(key), patience)
        if isinstance(op, ops.Fetch):
            send.undo = lambda reply: self._let_go(op, reply)
        try:
            reply = yield send
        except Dropped:
            # Connections lie idle while servers are started anew. A lease may have been given, what any other command
            # asks for may be asked for twice.
            if isinstance(op, (ops.Fetch, ops.TakeDue, ops.Raw)):
                raise
            reply = yield send
        return op.read(reply)

    def _let_go(self, op: ops.Fetch, reply: Any) -> Flow[None]:
        """Gives a lease back that came when nobody waited for it any more."""
        fetched = op.read(reply)
        if fetched.token is not None:
            yield from self.flow(ops.Release(op.question, fetched.token))

    def _all(self, op: ops.Op[Any]) -> Flow[Any]:
        """One that is about all parts."""
        if isinstance(op, ops.Scan):
            return (yield from self._scan(op))
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
        alone: list[int] = []
        for position, item in enumerate(op.items):
            if item.is_plain:
                places.setdefault(self._key(item.question.context), []).append(position)
            else:
                alone.append(position)
        stored, skipped = 0, 0
        errors: list[tuple[int, str]] = []
        for key, positions in places.items():
            part = ops.Warm(tuple(op.items[position] for position in positions), op.only_new)
            warmed = yield from self._one(part, key)
            stored, skipped = stored + warmed.stored, skipped + warmed.skipped
            errors += [(positions[position], why) for position, why in warmed.errors]
        for position in alone:
            try:
                kept = yield from self.flow(op.items[position].alone(op.only_new))
            except Refused as why:
                errors.append((position, str(why)))
            else:
                stored, skipped = stored + kept, skipped + (not kept)
        return Warmed(stored, skipped, len(errors), tuple(sorted(errors)))

    # The wire

    def send(self, step: Send) -> Any:
        """Sends a command."""
        try:
            if step.patience and not self.cluster:
                return self._send_patiently(step.words, step.patience)
            return self.client(step.patience).execute_command(*step.words)
        except Exception as error:
            meaning = _meaning(error)
            if isinstance(meaning, Dropped) and not self.cluster:
                # The others that lie idle have most likely been lost with it.
                for client in list(self._clients.values()):
                    client.connection_pool.disconnect(inuse_connections=False)
            raise meaning from error

    async def asend(self, step: Send) -> Any:
        """Sends a command from an event loop."""
        try:
            if not step.patience and step.undo is None:
                return await self.aclient().execute_command(*step.words)
            return await self._asend_patiently(step)
        except Exception as error:
            meaning = _meaning(error)
            if isinstance(meaning, Dropped) and not self.cluster:
                for client in list(self._aclients.get(asyncio.get_running_loop(), {}).values()):
                    await client.connection_pool.disconnect(inuse_connections=False)
            raise meaning from error

    async def _asend_patiently(self, step: Send) -> Any:
        sent = asyncio.ensure_future(self.aclient(step.patience).execute_command(*step.words))
        try:
            while not (await asyncio.wait({sent}, timeout=self._timeout))[0]:
                await self.aclient().ping()
        except asyncio.CancelledError:
            if step.undo is not None:
                background(self._take_back(sent, step.undo))
            else:
                sent.cancel()
            raise
        except BaseException:
            sent.cancel()
            raise
        return sent.result()

    async def _take_back(self, sent: asyncio.Future[Any], undo: Callable[[Any], Flow[Any]]) -> None:
        """Undoes what is on its way already. What still waits ends with its connection."""
        await asyncio.wait({sent}, timeout=_ON_ITS_WAY)
        if sent.done() and not sent.cancelled() and sent.exception() is None:
            await arun(undo(sent.result()))
        else:
            sent.cancel()

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
        patience = _step(patience)
        with self._lock:
            if patience not in self._clients:
                made: Callable[..., Any] = RedisCluster.from_url if self.cluster else redis.Redis.from_url
                self._clients[patience] = made(self.url, **self._settings(patience, Retry(NoBackoff(), 0)))
            return self._clients[patience]

    def aclient(self, patience: float = 0.0) -> Any:
        """The same for the running event loop."""
        patience, loop = _step(patience), asyncio.get_running_loop()
        clients = self._aclients.get(loop)
        if clients is None:
            with self._lock:
                # Clients know their loop, so that neither would go by itself.
                for one in [one for one in self._aclients if one.is_closed()]:
                    del self._aclients[one]
                clients = self._aclients.setdefault(loop, {})
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


def _step(patience: float) -> float:
    """One of a few lengths, so that there are few clients."""
    return 0.0 if patience <= 0 else float(2 ** math.ceil(math.log2(max(1.0, patience))))


def _plain_replies(url: str) -> str:
    """Without what would make the replies of a client's other than those that are read here."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("decode_responses", "encoding")]
    return url if not parts.query else urlunsplit(parts._replace(query=urlencode(query)))


def _meaning(error: Exception) -> Exception:
    """What a client's exception means here."""
    if isinstance(error, LlmcacheError):
        return error
    said = str(error)
    if isinstance(error, exceptions.MovedError) or said.startswith("MOVED "):
        return Refused("this is a node of a cluster: say cluster=True, or redis+cluster://")
    if isinstance(error, (exceptions.NoPermissionError, exceptions.DataError, TypeError, ValueError)):
        return Refused(said)
    if "too many connections" in said.lower():
        return Crowded(said)
    if type(error) is exceptions.ConnectionError or isinstance(error, ConnectionError):
        return Dropped(said)
    gone = (
        exceptions.ConnectionError,
        exceptions.TimeoutError,
        exceptions.ReadOnlyError,
        OSError,
        asyncio.TimeoutError,
    )
    if isinstance(error, (*gone, exceptions.ClusterError, exceptions.RedisClusterException, exceptions.TryAgainError)):
        return Unavailable(said or type(error).__name__)
    if isinstance(error, exceptions.ResponseError):
        if "unknown command" in said.lower():
            return Unwilling("the server has no LLMCACHE module: start it with --loadmodule libllmcache.so")
        if said.startswith(_LATER) or isinstance(error, exceptions.OutOfMemoryError):
            return Unwilling(said)
        return Refused(said)
    return error
