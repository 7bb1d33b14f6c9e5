#!/usr/bin/env python3
"""The figures as those see them who scrape them: read by Prometheus' own parser, and told alike in all formats.

    metrics.py --port 6379 [--host 127.0.0.1]

Runs against a server with the module, which it empties, and needs redis-py and prometheus-client. Checks FORMAT
prometheus and json against the map, dashboards/exporter.py against the server, and dashboards/llmcache.json against what
the exporter tells. Prints one line per failure and "N passed, 0 failed" at the end; the exit status is 1 where something
failed. tests/clients/run.sh starts such a server.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from itertools import combinations
from pathlib import Path

import redis
from prometheus_client.parser import text_string_to_metric_families

DASHBOARDS = Path(__file__).resolve().parent.parent.parent / "dashboards"
DIMENSIONS = ["model", "scope", "strategy", "type", "tag"]
GAUGES = set("entries hit_rate estimated_share saving_per_day_usd saving_per_month_usd saving_per_year_usd "
             "memory_cost_per_month_usd roi bytes_raw bytes_stored compression_saved memory_bytes "
             "memory_per_1k_entries".split())
PERCENTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}
# Names that are text come back as they are. For what cannot stand in a label (other bytes, what controls) something else
# does, but each name stays one of its own.
TEXT = ["gpt-4o", 'quo"te', "back\\slash", "\\n", "line\nfeed", "ünï→😀", ' a="b",c="d"} 7 ', "# TYPE x counter", "{}", "1e9"]
ODD = [name.encode() for name in TEXT] + [b"not \xff UTF-8", b"tab\tcr\rbell\x07", b""]
tests = []


def test(function):
    tests.append(function)
    return function


def same(found, wanted, what=""):
    assert found == wanted, f"{what}{': ' if what else ''}found {found!r:.300}, wanted {wanted!r:.300}"


class Server:
    def __init__(self, host, port):
        self.url = f"redis://{host}:{port}"
        self.redis = redis.Redis(host=host, port=port, protocol=3)

    def __call__(self, verb, *args):
        return self.redis.execute_command("LLMCACHE." + verb, *args)

    def stats(self, *words):
        """The map, the exposition and the JSON of one moment."""
        for _ in range(20):
            with self.redis.pipeline(transaction=True) as pipe:
                for form in ("map", "prometheus", "json", "map"):
                    pipe.execute_command("LLMCACHE.STATS", *words, "FORMAT", form)
                first, text, told, last = pipe.execute()
            if first == last:
                return first, text.decode(), json.loads(told, object_pairs_hook=once)
        raise AssertionError("the figures never stand still")


def once(pairs):
    names = [name for name, _ in pairs]
    same(sorted(set(names)), sorted(names), "names of an object")
    return dict(pairs)


def fill(server):
    """Caches under odd names, with odd names in them: of each name a hit, and another miss than of others."""
    for key in ("faq", b"od\xffd \"key\"\\\n{}", "BY"):
        server("CREATE", key, "MODE", "exact")
        for i, name in enumerate(ODD):
            identity = ["MODEL", name, "SCOPE", name]
            named = ["TYPE", name, "TAGS", 2, name, "all"] if name else []
            server("SET", key, f"prompt {i}", "An answer. " * 20, *identity, *named, "EX", 1000 + i,
                   "TOKENS", i, 2 * i, "COST", f"0.{i:06}", "LATENCY", 100 * i)
            for _ in range(i + 1):
                assert server("GET", key, f"prompt {i}", *identity) is not None
            server("GET", key, "nothing", *identity)
        server("SET", key, "What is Redis?", "A data store.", "SCOPE", "auto")
        server("SET", key, "Generate a random password", "x7!kQ")
        server("FETCH", key, "prompt 0", "MODEL", ODD[0], "SCOPE", ODD[0], "LEASE", 100)
    server.redis.set("text", "no cache")


# A sample: name, labels, value.
SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\[\\n"])*",?)*)\})? ([^ ]+)')


def strictly(text):
    """Reads an exposition and allows nothing that the format leaves open. Returns the samples, series → value."""
    assert text.endswith("\n"), "the last line does not end"
    kinds, helps, metric, done = {}, {}, None, set()
    for line in text.removesuffix("\n").split("\n"):
        if line.startswith("# HELP "):
            _, _, metric, said = line.split(" ", 3)
            assert metric not in helps, f"{metric} is announced twice"
            assert said.strip() and metric not in done, line
            helps[metric] = said
            done.add(metric)
        elif line.startswith("# TYPE "):
            _, _, of, kind = line.split(" ")
            assert of == metric and of not in kinds, f"out of order: {line}"
            assert kind in ("counter", "gauge", "summary"), line
            assert (kind == "counter") == of.endswith("_total"), line
            kinds[of] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"no sample: {line!r}"
            name = match[1]
            family = re.sub("_(sum|count)$", "", name) if kinds.get(metric) == "summary" else name
            assert family == metric and metric in kinds, f"{name} stands behind {metric}"
            float(match[3])
    samples = {}
    for family in text_string_to_metric_families(text):
        assert family.type != "unknown" and family.documentation, f"{family.name}: {family.type}"
        for sample in family.samples:
            series = (sample.name, frozenset(sample.labels.items()))
            assert series not in samples, f"twice: {series}"
            assert sample.value >= 0, series
            samples[series] = sample.value
    lines = sum(not line.startswith("#") for line in text.split("\n")) - 1
    same(len(samples), lines, "samples that the parser reads")
    return samples


def wanted(figures, labels, window, latencies=True):
    """What an exposition should say of a map: series → value. None: any value."""
    samples = {}
    for field, value in figures.items():
        field = field.decode()
        if field == "alerts":
            continue
        if isinstance(value, dict):
            if window or not latencies:
                continue
            told = {part.decode(): number for part, number in value.items()}
            for part, quantile in PERCENTILES.items():
                samples[f"llmcache_{field}", frozenset({**labels, "quantile": quantile}.items())] = told[part]
            for part, number in (("max", told["max"]), ("sum", None), ("count", None)):
                samples[f"llmcache_{field}_{part}", frozenset(labels.items())] = number
        else:
            suffix = "" if window or field in GAUGES else "_total"
            samples[f"llmcache_{field}{suffix}", frozenset(labels.items())] = float(value)
    return samples


def agree(found, expected):
    same(sorted(map(repr, set(found) ^ set(expected))), [], "series that only one side has")
    for series, value in expected.items():
        if value is not None:
            same(found[series], value, str(series))


def json_like(figures):
    """A map as JSON tells it."""
    def plain(value):
        if isinstance(value, dict):
            return {name.decode(): plain(inner) for name, inner in value.items()}
        return value.decode() if isinstance(value, bytes) else value
    return plain(figures)


def variants():
    for key in ([], ["faq"], [b"od\xffd \"key\"\\\n{}"], ["BY"], ["no such cache"]):
        for window in ([], ["WINDOW", 3600]):
            yield key, window


@test
def one_cache_and_all_of_them(server):
    for key, window in variants():
        figures, text, told = server.stats(*key, *window)
        found = strictly(text)
        labels = {"window": "3600"} if window else {}
        if key:
            caches = {dict(labels)["cache"] for _, labels in found}
            same(len(caches), 1)
            labels["cache"] = caches.pop()
            if isinstance(key[0], str):
                same(labels["cache"], key[0])
        agree(found, wanted(figures, labels, window))
        same(told, json_like(figures))
        if key != ["no such cache"]:
            assert figures[b"hits"] > 50 and float(figures[b"cost_saved_usd"]) > 0, figures


@test
def every_dimension(server):
    for key, window in variants():
        for dimension in DIMENSIONS:
            names, text, told = server.stats(*key, "BY", dimension, *window)
            found = strictly(text)
            # Both name the same in the same order; what a label says of a name that is no text is the module's affair.
            series = re.findall(r"^llmcache_entries(\{.*\}) ", text, re.M)
            same(len(series), len(names), f"{key} BY {dimension}")
            expected = {}
            for (name, figures), labels, object_name in zip(names.items(), series, told):
                [family] = text_string_to_metric_families(f"x{labels} 1\n")
                labels = family.samples[0].labels
                if name.decode(errors="replace") in [*TEXT, ""]:
                    same(labels[dimension], name.decode())
                    assert name.decode() in told
                expected.update(wanted(figures, labels, window, latencies="llmcache_set_us_count" in text))
            agree(found, expected)
            same(len(told), len(names))
            for name in set(TEXT) & set(told):
                same(told[name], json_like(names[name.encode()]))
            if dimension in ("model", "scope", "type") and key != ["no such cache"]:
                assert set(ODD) <= set(names), set(ODD) - set(names)


@test
def sums_by_name_are_the_whole(server):
    whole, *_ = server.stats("faq")
    for dimension in ("model", "scope", "strategy", "type"):
        names, *_ = server.stats("faq", "BY", dimension)
        for field in (b"lookups", b"hits", b"misses", b"tokens_saved", b"stores", b"entries", b"bytes_raw"):
            same(sum(figures[field] for figures in names.values()), whole[field], f"{field} by {dimension}")


@test
def names_that_are_no_text_stay_apart(server):
    alike = [b"a\xff", b"a\xfe", b"a\x07", b"a\x08", "a\ufffd".encode()]
    for name in alike:
        server("SET", "alike", "prompt", "An answer.", "MODEL", name, "SCOPE", name)
    for dimension in ("model", "scope"):
        names, text, told = server.stats("alike", "BY", dimension)  # JSON that names one twice is refused
        same((len(names), len(told)), (len(alike), len(alike)))
        samples = strictly(text)  # and so is a series that comes twice
        same(total(samples, "llmcache_entries"), len(alike))
    for name in alike:
        server("SET", b"key " + name, "prompt", "An answer.")
    with Exporter("--redis", server.url, "--match", "key *") as exporter:
        same(total(strictly(exporter.scrape()), "llmcache_entries"), len(alike))


class Exporter:
    """dashboards/exporter.py on a port of its own."""

    def __init__(self, *arguments):
        self.arguments = ["--listen", "127.0.0.1:0", *arguments]

    def __enter__(self):
        command = [sys.executable, DASHBOARDS / "exporter.py", *self.arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        found = re.search(r"listening on (http://\S+)", line)
        assert found, line + self.process.communicate(timeout=10)[1]
        self.url = found[1]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate(timeout=10)

    def scrape(self):
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            same(answer.status, 200)
            same(answer.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
            return answer.read().decode()


def total(samples, name, **labels):
    return sum(value for (of, having), value in samples.items() if of == name and labels.items() <= dict(having).items())


@test
def the_exporter_tells_every_cache_once(server):
    with Exporter("--redis", server.url, "--by", "model,scope,strategy,type,tag") as exporter:
        samples = strictly(exporter.scrape())
        same(samples["llmcache_up", frozenset()], 1)
        whole = server("STATS")
        keys = {dict(labels)["cache"] for name, labels in samples if name == "llmcache_entries"}
        same(len(keys), 3)
        same(total(samples, "llmcache_lookups_total", cache="faq"), server("STATS", "faq")[b"lookups"])
        for field in ("lookups_total", "hits_total", "tokens_saved_total", "entries"):
            value = whole[field.removesuffix("_total").encode()]
            same(total(samples, f"llmcache_{field}"), value, field)
            for dimension in ("model", "scope", "strategy", "type"):
                same(total(samples, f"llmcache_by_{dimension}_{field}"), value, f"{field} by {dimension}")
        same(total(samples, "llmcache_by_model_hits_total", cache="faq", model='quo"te'), 2)
        assert not [name for name, _ in samples if re.match("llmcache_by_.*_us(_|$)", name)]
        assert all("window" not in dict(labels) for _, labels in samples)
        try:
            urllib.request.urlopen(exporter.url + "/no", timeout=30)
            raise AssertionError("anything is answered")
        except urllib.error.HTTPError as error:
            same(error.code, 404)


@test
def the_exporter_can_be_told_what(server):
    for pattern, caches in (("f*", 1), ("faq", 1), ("*", 3), ("gone", 0), ("text", 0)):
        with Exporter("--redis", server.url, "--by", "", "--match", pattern) as exporter:
            samples = strictly(exporter.scrape())
            same(len({dict(labels)["cache"] for _, labels in samples if labels}), caches, pattern)
            same(samples["llmcache_up", frozenset()], 1)
            assert not [name for name, _ in samples if "_by_" in name]
    process = subprocess.run([sys.executable, DASHBOARDS / "exporter.py", "--by", "model,colour"], capture_output=True)
    assert process.returncode == 2 and b"colour" in process.stderr, process.stderr


@test
def the_exporter_outlives_the_server(server):
    with Exporter("--redis", "redis://127.0.0.1:1") as exporter:
        for _ in range(2):
            same(strictly(exporter.scrape()), {("llmcache_up", frozenset()): 0.0})


@test
def the_exporter_needs_no_more_than_it_says(server):
    line = re.search(r"ACL SETUSER (\S+) on >(\S+) .*", (DASHBOARDS / "exporter.py").read_text())
    server.redis.execute_command(*line[0].split())
    try:
        url = server.url.replace("//", f"//{line[1]}:{line[2]}@")
        with Exporter("--redis", url) as exporter:
            same(total(strictly(exporter.scrape()), "llmcache_up"), 1)
            same(len(strictly(exporter.scrape())) > 100, True)
        with Exporter("--redis", url.replace(line[2], "wrong")) as exporter:
            same(total(strictly(exporter.scrape()), "llmcache_up"), 0)
    finally:
        server.redis.acl_deluser(line[1])


@test
def a_cache_may_go_while_it_is_asked(server):
    spec = importlib.util.spec_from_file_location("exporter", DASHBOARDS / "exporter.py")
    exporter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(exporter)
    exporter.log.disabled = True

    class Late(redis.Redis):
        def scan_iter(self, **_):
            return iter([b"faq", b"gone", b"text", b"faq"])  # deleted, and replaced by a string

    client = Late.from_url(server.url)
    samples = strictly(exporter.collect(client, ["model"], b"*"))
    client.close()
    same({dict(labels)["cache"] for _, labels in samples if labels}, {"faq"})


def expressions(board):
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


@test
def the_dashboard_shows_what_there_is(server):
    server("ALERT", "faq", "SET", "busy", "entries", "ABOVE", 1)
    board = json.loads((DASHBOARDS / "llmcache.json").read_text(), object_pairs_hook=once)
    with Exporter("--redis", server.url, "--by", "model,strategy,scope") as exporter:
        deadline = time.monotonic() + 20
        while "llmcache_alert_firing{" not in (text := exporter.scrape()):
            assert time.monotonic() < deadline, "the alert does not fire"
            time.sleep(0.1)
    known = {name for name, _ in strictly(text)}
    seen = set()
    for title, expression in expressions(board):
        names = set(re.findall(r"\bllmcache_\w+", expression))
        assert names, f"{title}: {expression}"
        assert names <= known, f"{title}: {names - known} is not told"
        counters = re.findall(r"\bllmcache_\w+_(?:total|sum|count)\b", expression)
        rates = re.findall(r"\b(?:rate|increase) ?\((llmcache_\w+)", expression)
        same(counters, rates, f"{title}: counters, and counters of which there is a rate")
        seen |= names
    # What can be made of others need not be shown.
    derived = {"hits_total", "hit_rate", "tokens_saved_total", "roi", "saving_per_day_usd", "saving_per_year_usd",
               "bytes_raw", "bytes_stored", "memory_per_1k_entries"}
    shown = re.sub("_(sum|count)\\b", "", " ".join(seen)).split()
    missing = {name for name in known if not re.search("_by_|_(max|sum|count)$", name)} - set(shown)
    same(sorted(missing - {f"llmcache_{name}" for name in derived}), [], "metrics that nothing shows")


@test
def the_dashboard_is_laid_out(server):
    board = json.loads((DASHBOARDS / "llmcache.json").read_text())
    panels = board["panels"]
    ids = [panel["id"] for panel in panels]
    same(len(set(ids)), len(ids), "ids")
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] >= 0 and at["x"] + at["w"] <= 24 and at["w"] > 0 and at["h"] > 0, panel["title"]
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            same(panel["datasource"], {"type": "prometheus", "uid": "${datasource}"}, panel["title"])
            refs = [target["refId"] for target in panel["targets"]]
            same(len(set(refs)), len(refs), panel["title"])
    for a, b in combinations(panels, 2):
        p, q = a["gridPos"], b["gridPos"]
        apart = (p["x"] + p["w"] <= q["x"] or q["x"] + q["w"] <= p["x"]
                 or p["y"] + p["h"] <= q["y"] or q["y"] + q["h"] <= p["y"])
        assert apart, f"{a['title']} lies on {b['title']}"
    same([variable["name"] for variable in board["templating"]["list"]], ["datasource", "instance", "cache"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    failures = passed = 0
    server = Server(args.host, args.port)
    for run in tests:
        server.redis.flushall()
        try:
            fill(server)
            run(server)
            passed += 1
        except Exception as error:  # a failure of any kind is told, and the next test runs
            failures += 1
            where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == run.__name__]
            line = f", line {where[-1].lineno}" if where else ""
            print(f"FAILED {run.__name__}{line}: {type(error).__name__}: {error}")
    server.redis.flushall()
    server.redis.close()
    print(f"metrics: {passed} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
