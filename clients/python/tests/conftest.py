"""Servers with the module, each with a port, a folder and a process of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from llmcache import AsyncCache, Cache

ROOT = Path(__file__).resolve().parents[3]


def module() -> Path:
    """The built module."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(os.environ.get("LLMCACHE_SO", target / "release/libllmcache.so")).resolve()


def free_port() -> int:
    """A port that nobody listens at; a node of a cluster listens ten thousand above it as well."""
    while True:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = int(s.getsockname()[1])
        if port < 50_000:
            return port


def until(holds: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Waits until something holds, but not for ever."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)


class RedisServer:
    """A server that can be killed and started again."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.arguments = folder, arguments
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        binary = os.environ.get("LLMCACHE_REDIS_SERVER", "redis-server")
        command = [binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.arguments, "--loadmodule", str(module())], stdout=log, stderr=log
            )
        until(self.answers, f"the server is up; see {self.folder / 'log'}")

    def answers(self) -> bool:
        assert self.process is not None and self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=3)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if not module().exists() or not shutil.which(os.environ.get("LLMCACHE_REDIS_SERVER", "redis-server")):
        pytest.fail(f"no module at {module()}, or no redis-server: make build")
    server = RedisServer(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """A server that is empty. Nobody may kill it."""
    shared_server.client().flushall()
    return shared_server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that may be killed."""
    folder = tmp_path / "own"
    folder.mkdir()
    server = RedisServer(folder)
    yield server
    server.kill()


KINDS = ("server", "near", "fallback", "memory", "file")


def arguments(kind: str, request: pytest.FixtureRequest) -> dict[str, object]:
    """What a cache of this kind is made of; "fallback" is one whose server is not there."""
    # Tests run beside many others, on machines that have other things to do.
    patient = {"connect_timeout": 10.0, "timeout": 10.0}
    match kind:
        case "server":
            return {"url": request.getfixturevalue("server").url, "fallback": None, **patient}
        case "near":
            return {"url": request.getfixturevalue("server").url, "near": 1.0, **patient}
        case "fallback":
            return {"url": f"redis://127.0.0.1:{free_port()}"}
        case "memory":
            return {"url": "memory:"}
        case _:
            return {"url": f"file:{request.getfixturevalue('tmp_path') / 'cache.db'}"}


@pytest.fixture(params=KINDS)
def cache(request: pytest.FixtureRequest) -> Iterator[Cache]:
    """A cache of each kind: all do the same."""
    with Cache(name="faq", **arguments(request.param, request)) as cache:  # type: ignore[arg-type]
        yield cache


@pytest.fixture(params=KINDS)
def acache(request: pytest.FixtureRequest) -> AsyncCache:
    return AsyncCache(name="faq", **arguments(request.param, request))  # type: ignore[arg-type]
