"""What is asked of each listing, for whom, how it is planned, and how it is answered."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from llmcache import Cache, Question, Result

from model import Completion, llm

HOUR = 3600


@dataclass(frozen=True)
class Listing:
    """A home that is for sale. Money is in euros, the area in square metres."""

    id: str
    address: str
    price: int
    rent: int
    area: int
    rooms: int
    built: int
    energy: str
    notes: str


@dataclass(frozen=True)
class Profile:
    """A kind of reader: who answers them, what they ask of each listing, and how old an answer may become."""

    system: str
    asks: str
    every: int


PROFILES = {
    "first-time-buyer": Profile(
        system="You advise people who buy their first home. Name the full price of it, and what may surprise them.",
        asks="What does it take to buy {address} as a first home: price, energy, notes?",
        every=24 * HOUR,
    ),
    "investor": Profile(
        system="You advise investors. Name the gross yield, and what threatens it.",
        asks="Is {address} an investment, given its price and rent?",
        every=6 * HOUR,
    ),
    "family": Profile(
        system="You advise families with children. Speak of space, schools and daily ways.",
        asks="Would a family of four live well at {address}, given area, rooms, price and notes?",
        every=24 * HOUR,
    ),
}


def read_listings() -> dict[str, Listing]:
    """The listings by their ids."""
    numbers = {"price", "rent", "area", "rooms", "built"}
    with Path(__file__).with_name("listings.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = [
            {name: int(value) if name in numbers else value for name, value in row.items()}
            for row in csv.DictReader(file)
        ]
    return {row["id"]: Listing(**row) for row in rows}


def question(profile: str, listing: Listing) -> Question:
    """What this kind of reader asks of this listing.

    All that the answer depends on is in it, the price too: an analysis of the old price is the answer to another
    question, even if a worker is just making it while the price changes.
    """
    asked = PROFILES[profile]
    return Question(
        asked.asks.format(address=listing.address),
        model=llm.name,
        system=asked.system,
        params={"listing": asdict(listing)},
    )


def tags(profile: str, listing: Listing) -> list[str]:
    """By what an analysis can be taken back."""
    return [f"listing:{listing.id}", f"profile:{profile}"]


def plan(cache: Cache, listings: Iterable[Listing]) -> None:
    """Tells the cache which questions are always to have an answer: a plan for each profile.

    An answer is due for renewal when it is as old as its profile allows, and stays for as long again, so that readers
    do not wait even if the workers are late. All workers together make at most 8 of a profile at once. A plan takes the
    place of the one of the same name.
    """
    listings = list(listings)
    for name, profile in PROFILES.items():
        items: list[dict[str, Any]] = []
        for listing in listings:
            asked = question(name, listing)
            items.append({"prompt": asked.prompt, "params": asked.params, "tags": tags(name, listing)})
        every, life = ("EVERY", profile.every, "LIMIT", 8), ("EX", 2 * profile.every)
        context = ("MODEL", llm.name, "SYSTEM", profile.system)
        cache.command("WARM", "PLAN", name, *every, *life, *context, "JSON", json.dumps(items))


def look(cache: Cache, profile: str, listing: Listing) -> Result:
    """What a reader sees. Where no worker has been yet, the reader waits for the model, and the next one does not."""
    asked = question(profile, listing)
    return cache.get_or_call(
        asked,
        lambda: complete(asked).made,
        tags=tags(profile, listing),
        ttl=2 * PROFILES[profile].every,
    )


def change_price(cache: Cache, listings: dict[str, Listing], id: str, price: int) -> int:
    """A new price: it is stored, then planned, then the analyses of the old one are removed; how many."""
    listings[id] = replace(listings[id], price=price)
    plan(cache, listings.values())
    return cache.invalidate(tags=[f"listing:{id}"])


def complete(asked: Question) -> Completion:
    """Asks the model."""
    listing = (asked.params or {})["listing"]
    facts = [f"{name}: {value}" for name, value in listing.items() if name not in ("id", "address")]
    return llm.complete("\n".join([*facts, str(asked.prompt)]), asked.system)


def worker(prompt: str, question: Question) -> dict[str, Any]:
    """What `llmcache warm --python property_analysis.analysis:worker` calls. All it needs is in the question, so it
    may run on any machine."""
    completion = complete(question)
    return {"response": completion.text, "tokens": completion.tokens, "cost": completion.cost}
