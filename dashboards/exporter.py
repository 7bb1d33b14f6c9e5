#!/usr/bin/env python3
"""Tells Prometheus the figures of all LLMCACHE caches of a server. Needs redis-py (pip install redis) and nothing else.

    exporter.py [--redis URL] [--listen HOST:PORT] [--by DIMENSIONS] [--match PATTERN]

A scrape of /metrics asks `LLMCACHE.STATS key FORMAT prometheus` of every cache in the database that the URL names, so
each figure is a metric `llmcache_…` with a label `cache`. For each dimension of --by it asks once more with `BY`, and these
figures go by another name: what is `llmcache_hits_total{cache="faq"}` in all is
`llmcache_by_model_hits_total{cache="faq",model="gpt-4o"}` by model, so no sum over a metric ever counts anything twice.
Latencies are not told apart by name. `llmcache_up` is 1, or 0 while the server does not answer, refuses, or lacks the
module.

A user of its own needs this (and `+select` for another database than 0):

    ACL SETUSER metrics on >secret resetkeys %R~* -@all +ping +hello +auth +scan +llmcache.stats
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import socket
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import redis

DIMENSIONS = ("model", "scope", "strategy", "type", "tag")
UP = "# HELP llmcache_up Whether the server answers, and has the module\n# TYPE llmcache_up gauge\nllmcache_up {}\n"
# A cache takes memory even when it is empty. What takes none is not there any more.
GONE = re.compile(r"^llmcache_memory_bytes\{.*\} 0$", re.MULTILINE)
log = logging.getLogger("exporter")


class Exposition:
    """One exposition made of many: each metric is announced once, and its samples stand together."""

    def __init__(self) -> None:
        self.heads: dict[str, str] = {}
        self.samples: dict[str, dict[str, str]] = {}

    def add(self, text: str, by: str | None = None) -> None:
        """Adds an exposition of the module, whose metrics are renamed where they are told by a dimension."""
        metric = ""
        for line in filter(None, text.split("\n")):  # only these: other ends of lines may stand in labels
            if by:
                line = re.sub(r"^(# HELP |# TYPE |)llmcache_", rf"\1llmcache_by_{by}_", line)
            if line.startswith("# HELP "):
                metric = line.split(" ", 3)[2]
                self.heads.setdefault(metric, line + (f", by {by}" if by else ""))
            elif line.startswith("# TYPE "):
                self.samples.setdefault(metric, {"# TYPE": line})
            elif not (by and metric.endswith(("_us", "_us_max"))):
                series, value = line.rsplit(" ", 1)
                self.samples[metric].setdefault(series, f"{series} {value}")

    def __str__(self) -> str:
        told = ((self.heads[metric], *lines.values()) for metric, lines in self.samples.items() if len(lines) > 1)
        return "".join(f"{line}\n" for lines in told for line in lines)


def caches(client: redis.Redis, pattern: bytes) -> Iterable[bytes]:
    """The keys of caches. A pattern that is a plain name is one, and saves a walk over the keyspace."""
    if not re.search(rb"[*?\[\\]", pattern):
        return [pattern]
    return sorted(set(client.scan_iter(match=pattern, count=1000, _type="llm-cache")))


def collect(client: redis.Redis, by: Iterable[str], pattern: bytes) -> str:
    """The figures of all caches. Raises RedisError where the server is away, or has no such module."""
    exposition, asked, found = Exposition(), (None, *by), False
    exposition.add(UP.format(1))
    for key in caches(client, pattern):
        pipeline = client.pipeline(transaction=False)
        for dimension in asked:
            pipeline.execute_command("LLMCACHE.STATS", key, *(["BY", dimension] if dimension else []),
                                     "FORMAT", "prometheus")
        for dimension, reply in zip(asked, pipeline.execute(raise_on_error=False)):
            if isinstance(reply, Exception):
                log.warning("%r tells nothing: %s", key, reply)
                break
            text = reply.decode()
            if dimension is None and GONE.search(text):
                break
            exposition.add(text, dimension)
            found = True
    if not found:
        client.execute_command("LLMCACHE.STATS")  # no cache, or no module?
    return str(exposition)


class Handler(BaseHTTPRequestHandler):
    """Answers scrapes."""

    client: redis.Redis
    by: tuple[str, ...]
    pattern: bytes

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            return self.send_error(404, "the figures are at /metrics")
        try:
            text = collect(self.client, self.by, self.pattern)
        except redis.RedisError as error:
            log.warning("the server does not answer: %s", error)
            text = UP.format(0)
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def dimensions(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, text.split(","))))
    if unknown := set(names) - set(DIMENSIONS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: not one of {', '.join(DIMENSIONS)}")
    return names


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text}: not HOST:PORT")
    return host.strip("[]"), int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tells Prometheus the figures of all LLMCACHE caches of a server.")
    parser.add_argument("--redis", default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379"), metavar="URL",
                        help="the server, redis[s]://[user:password@]host:port[/database] (default: $REDIS_URL, which "
                             "other users do not see as they do arguments, or redis://127.0.0.1:6379)")
    parser.add_argument("--listen", default="127.0.0.1:9122", type=address, metavar="HOST:PORT",
                        help="where to answer (default: %(default)s)")
    parser.add_argument("--by", default="model,strategy", type=dimensions, metavar="DIMENSIONS",
                        help=f"figures by name too: some of {','.join(DIMENSIONS)} (default: %(default)s; '' for none)")
    parser.add_argument("--match", default="*", type=os.fsencode, metavar="PATTERN",
                        help="caches whose key matches only (default: all)")
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    Handler.client = redis.Redis.from_url(options.redis, socket_timeout=5, socket_connect_timeout=2)
    Handler.by, Handler.pattern = options.by, options.match
    ThreadingHTTPServer.address_family = socket.AF_INET6 if ":" in options.listen[0] else socket.AF_INET
    server = ThreadingHTTPServer(options.listen, Handler)
    host = options.listen[0]
    log.info("listening on http://%s:%s/metrics", f"[{host}]" if ":" in host else host, server.server_port)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
