"""Single entries: get, set, explain, invalidate, scan."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import Answer, Explanation
from ..question import Prompt
from . import human, items
from .app import app, note, pairs, session, show, tell

Model = Annotated[str, typer.Option("--model", "-m", help="The model.")]
System = Annotated[str, typer.Option(help="The system prompt.")]
Params = Annotated[str, typer.Option(metavar="JSON", help="What else the answer depends on.")]
Scope = Annotated[str, typer.Option(help="For whom the answer is.")]
Request = Annotated[bool, typer.Option("--request", help="The prompt is the JSON body of a chat request.")]
Similar = Annotated[bool, typer.Option("--similar", help="Also the answer to a similar question.")]
Exact = Annotated[bool, typer.Option("--exact", help="Only the answer to this very question.")]
Threshold = Annotated[float | None, typer.Option(help="How similar, from 0 to 1.", min=0, max=1)]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
PromptArgument = Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")]


def objects(text: str, what: str) -> Mapping[str, Any]:
    """An object of JSON that somebody typed."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{what} must be JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{what} must be an object of JSON")
    return value


def read_prompt(prompt: str, request: bool) -> Prompt:
    """What is asked, as it was typed or piped."""
    text = sys.stdin.read() if prompt == "-" else prompt
    return objects(text, "the request") if request else text


def identity(request: bool, model: str, system: str, params: str, scope: str) -> dict[str, Any]:
    """The context that options name."""
    if request and (model or system or params):
        raise typer.BadParameter("a request has its model, system and params in itself")
    context: dict[str, Any] = {"model": model, "system": system, "scope": scope}
    if params:
        context["params"] = objects(params, "--params")
    return {name: value for name, value in context.items() if value}


def named(**selectors: str | list[str] | None) -> None:
    """Refuses selectors that are empty: whoever says `--scope "$UNSET"` does not mean all scopes."""
    for name, value in selectors.items():
        if value == "" or (value and "" in value and not isinstance(value, str)):
            raise typer.BadParameter(f"--{name} is empty")


def terms(similar: bool, exact: bool, threshold: float | None) -> dict[str, Any]:
    """How a lookup matches, where options say it."""
    if similar and exact:
        raise typer.BadParameter("either --similar or --exact")
    said: dict[str, Any] = {"mode": "similar"} if similar else {"mode": "exact"} if exact else {}
    return said if threshold is None else said | {"threshold": threshold}


@app.command()
def get(
    context: typer.Context,
    prompt: PromptArgument,
    model: Model = "",
    system: System = "",
    params: Params = "",
    scope: Scope = "",
    request: Request = False,
    similar: Similar = False,
    exact: Exact = False,
    threshold: Threshold = None,
    stale_ok: Annotated[bool, typer.Option("--stale-ok", help="Also one whose time is over.")] = False,
    no_touch: Annotated[bool, typer.Option("--no-touch", help="Count nothing.")] = False,
    meta: Annotated[bool, typer.Option("--meta", help="What is known of it as well.")] = False,
    as_json: Json = False,
) -> None:
    """Print the answer to a prompt. Exits with 1 where there is none."""
    options: dict[str, Any] = identity(request, model, system, params, scope) | terms(similar, exact, threshold)
    with session(context).cache() as cache:
        answer = cache.get(read_prompt(prompt, request), stale_ok=stale_ok, touch=not no_touch, **options)
    if as_json:
        tell(answer)
    elif answer is None:
        note("llmcache: no answer")
    else:
        if meta:
            pairs(_known(answer))
            print()
        _print(answer.response)
    raise typer.Exit(0 if answer else 1)


def _known(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.id,
        "prompt": human.clip(answer.prompt, 200),
        "match": f"{answer.match}, {answer.similarity:.3f}",
        "model": answer.model or "-",
        "strategy": answer.strategy or "-",
        "type": answer.type or "-",
        "tags": ", ".join(answer.tags) or "-",
        "age": human.seconds(answer.age),
        "expires in": "never" if answer.ttl is None else human.seconds(answer.ttl),
        "hits": human.count(answer.hits),
        "tokens": f"{human.count(answer.tokens_in)} in, {human.count(answer.tokens_out)} out",
        "saved": f"{human.usd(answer.cost_saved_usd)}, {human.seconds(answer.latency_saved_ms / 1000)}",
    }


def _print(response: bytes) -> None:
    """A response: as it is where a program reads it, harmless where a terminal does."""
    if sys.stdout.isatty():
        print(human.clean(response.decode("utf-8", "replace")))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(response)
    if not response.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


@app.command("set")
def set_(
    context: typer.Context,
    prompt: PromptArgument,
    response: Annotated[str | None, typer.Argument(help="The response; - or nothing reads it from stdin.")] = None,
    file: Annotated[Path | None, typer.Option(help="The response is in this file.", dir_okay=False)] = None,
    model: Model = "",
    system: System = "",
    params: Params = "",
    scope: Scope = "",
    request: Request = False,
    strategy: Annotated[str | None, typer.Option(help="aggressive, standard, …, or auto.")] = None,
    ttl: Annotated[float | None, typer.Option(help="Seconds to live.", min=0.001)] = None,
    persist: Annotated[bool, typer.Option("--persist", help="Never expires.")] = False,
    type: Annotated[str | None, typer.Option(help="What kind of request it was.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="May be repeated.")] = None,
    cost: Annotated[str | None, typer.Option(help="What it cost, in US dollars.")] = None,
    tokens: Annotated[tuple[int, int] | None, typer.Option(help="Tokens in and out.")] = None,
    latency: Annotated[float | None, typer.Option(help="Milliseconds that the model took.")] = None,
    meta: Annotated[str, typer.Option(metavar="JSON", help="Anything of yours.")] = "",
    new: Annotated[bool, typer.Option("--new", help="Only where there is none.")] = False,
) -> None:
    """Store an answer. Exits with 1 where nothing is kept."""
    if prompt == "-" and file is None and response in (None, "-"):
        raise typer.BadParameter("prompt and response cannot both come from standard input")
    asked = read_prompt(prompt, request)
    told = file.read_bytes() if file else sys.stdin.buffer.read() if response in (None, "-") else response
    keep: dict[str, Any] = {"strategy": strategy, "ttl": ttl, "persist": persist, "type": type, "latency": latency}
    keep |= {
        "tags": tag or (),
        "cost": dollars(cost),
        "tokens": tokens,
        "meta": objects(meta, "--meta") if meta else None,
    }
    with session(context).cache(create=True) as cache:
        kept = cache.set(
            asked,
            told or "",
            condition="nx" if new else None,
            **identity(request, model, system, params, scope),
            **{name: value for name, value in keep.items() if value not in (None, ())},
        )
    if not kept:
        there = "there is one already, " if new else ""
        note(f"llmcache: nothing was stored: {there}its strategy is nocache, or it is too large for the cache")
    raise typer.Exit(0 if kept else 1)


def dollars(text: str | None) -> Decimal | None:
    """US dollars that somebody typed."""
    try:
        return None if text is None else items.dollars(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


@app.command()
def explain(
    context: typer.Context,
    prompt: PromptArgument,
    model: Model = "",
    system: System = "",
    params: Params = "",
    scope: Scope = "",
    request: Request = False,
    similar: Similar = False,
    exact: Exact = False,
    threshold: Threshold = None,
    as_json: Json = False,
) -> None:
    """Say what a lookup would find, and why."""
    options: dict[str, Any] = identity(request, model, system, params, scope) | terms(similar, exact, threshold)
    with session(context).cache() as cache:
        told = cache.explain(read_prompt(prompt, request), **options)
    if as_json:
        tell(told)
    else:
        _explain(told)


def _explain(told: Explanation) -> None:
    threshold = "" if told.threshold is None else f", threshold {told.threshold:.3f}"
    rows = {
        "verdict": f"{told.verdict} ({told.reason})",
        "mode": told.mode + threshold,
        "strategy": f"{told.strategy} (rule {told.rule or 'default'})",
        "id": told.digest[:32],
        "context": told.context,
        "steps": ", ".join(f"{name} {human.micros(took)}" for name, took in told.steps.items()),
    }
    pairs(rows)
    if told.candidates:
        print()
        show(
            ("similarity", "verdict", "guards", "id", "prompt"),
            [
                (
                    f"{found.similarity:.3f}",
                    found.verdict,
                    "; ".join(found.guards) or "pass",
                    found.id,
                    human.clip(found.prompt, 120),
                )
                for found in told.candidates
            ],
        )


@app.command()
def invalidate(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Option(help="The entry of this prompt.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every entry.")] = False,
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="Any of these tags.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Of this model.")] = None,
    scope: Annotated[str | None, typer.Option(help="In this scope.")] = None,
    type: Annotated[str | None, typer.Option(help="Of this type.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Of this strategy.")] = None,
    match: Annotated[str | None, typer.Option(help="Whose prompt fits this pattern.")] = None,
    older_than: Annotated[float | None, typer.Option(help="Stored more than so many seconds ago.")] = None,
    soft: Annotated[bool, typer.Option("--soft", help="Make them stale instead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    as_json: Json = False,
) -> None:
    """Take back the entries that meet all that is said."""
    named(prompt=prompt, tag=tag, model=model, scope=scope, type=type, strategy=strategy, match=match)
    given = (prompt, tag, model, scope, type, strategy, match, older_than)
    if not everything and all(value in (None, []) for value in given):
        raise typer.BadParameter("say which entries are meant, or --all")
    with session(context).cache() as cache:
        number = cache.invalidate(
            prompt,
            everything=everything,
            tags=tag or (),
            model=model,
            scope=scope,
            type=type,
            strategy=strategy,
            match=match,
            older_than=older_than,
            soft=soft,
            dry_run=dry_run,
        )
    if as_json:
        tell({"entries": number, "dry_run": dry_run})
    else:
        what = "would be taken back" if dry_run else "made stale" if soft else "taken back"
        print(f"{number:,} {'entry' if number == 1 else 'entries'} {what}")


@app.command()
def scan(
    context: typer.Context,
    match: Annotated[str | None, typer.Option(help="Whose prompt fits this pattern.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", "-t", help="With this tag.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Of this model.")] = None,
    scope: Annotated[str | None, typer.Option(help="In this scope.")] = None,
    limit: Annotated[int, typer.Option(help="How many at most; 0: all.", min=0)] = 100,
    full: Annotated[bool, typer.Option("--long", "-l", help="What is known of each as well.")] = False,
    as_json: Json = False,
) -> None:
    """List entries. With --json one object on each line."""
    named(match=match, tag=tag, model=model, scope=scope)
    with session(context).cache() as cache:
        found = cache.scan(match=match, tag=tag, model=model, scope=scope, count=1000)
        rows: list[tuple[Any, ...]] = []
        for id, prompt in itertools.islice(found, limit or None):
            entry = cache.entry(id, with_response=False) if full else None
            if full and entry is None:
                continue
            if as_json:
                known = {} if entry is None else dataclasses.asdict(entry)
                known.pop("response", None)
                tell({"id": id, "prompt": prompt} | known)
            elif entry is None:
                rows.append((id, human.clip(prompt, 200)))
            else:
                life = "never" if entry.ttl is None else human.seconds(entry.ttl)
                about = (human.count(entry.hits), life, entry.strategy, entry.model, entry.scope)
                cost = human.usd(entry.produced_usd)
                rows.append((id, *about, human.size(entry.size), cost, human.clip(prompt, 120)))
        more = bool(limit) and next(found, None) is not None
    if not as_json:
        titles = ("id", "prompt")
        long = ("id", "hits", "expires in", "strategy", "model", "scope", "size", "cost", "prompt")
        show(long if full else titles, rows)
    if more:
        note(f"llmcache: the first {limit} only; --limit 0 lists all")
