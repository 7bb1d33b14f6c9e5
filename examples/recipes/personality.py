"""What a companion knows of each user: made by a model from their profile, kept for five minutes, and taken back as
soon as the profile changes.

    python personality.py
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypedDict

from llmcache import Cache, Result

from model import llm
from summary import summary

cache = Cache(name="recipe:personality")


@dataclass(frozen=True)
class Profile:
    """What a user has told. Each change makes a new revision, as in any table with a version or an `updated_at`."""

    revision: int
    facts: tuple[str, ...]


class Profiles:
    """Stands for your database."""

    def __init__(self) -> None:
        self._rows: dict[str, Profile] = {}
        self._lock = threading.Lock()

    def get(self, user: str) -> Profile:
        """The profile as it is now."""
        with self._lock:
            return self._rows.get(user, Profile(0, ()))

    def add(self, user: str, fact: str) -> Profile:
        """The profile with one fact more."""
        with self._lock:
            old = self._rows.get(user, Profile(0, ()))
            self._rows[user] = new = Profile(old.revision + 1, (*old.facts, fact))
            return new


profiles = Profiles()


class Persona(TypedDict):
    """How to speak with a user. JSON, so it comes out of the cache as it went in."""

    portrait: str
    revision: int
    cost: str


# The key is the arguments: user, revision and model. The facts are named by the revision, so they need not be in it.
# `scope` keeps users apart whatever else happens: nothing is ever served across scopes.
@cache.cached(
    scope="user",
    model="model",
    ignore=["facts"],
    tags=["user:{user}"],
    ttl=5 * 60,
    cost=lambda persona: persona["cost"],
)
def persona(user: str, revision: int, facts: tuple[str, ...], model: str = llm.name) -> Persona:
    """The expensive part. It sees its arguments only, so it cannot answer for another state than the one in its key."""
    told = llm.complete(
        "\n".join([*facts, f"How should a companion speak with {user}, and what should it bear in mind?"]),
        system="You describe a person to somebody who is about to speak with them. Be kind, and brief.",
    )
    return {"portrait": told.text, "revision": revision, "cost": str(told.cost)}


def persona_of(user: str) -> Result:
    """What each turn of a conversation begins with."""
    profile = profiles.get(user)
    result: Result = persona.detail(user, profile.revision, profile.facts)
    return result


def learn(user: str, fact: str) -> int:
    """Changes a profile; how many states were taken back.

    First the change is stored, then what was made of the old profile is removed. In the other order somebody could make
    it again from the old profile in between. That leaves whoever began before the change and is done after the removal:
    what they made is stored under its old revision, where nobody looks any more, and goes with its five minutes.
    """
    profiles.add(user, fact)
    return cache.invalidate(tags=[f"user:{user}"], scope=user)


def turns(count: int) -> str:
    """All users say something in turn."""
    results = [persona_of(user) for _ in range(count) for user in ("ada", "bo", "cy")]
    made = sum(not result.was_cached for result in results)
    return f"{len(results)} turns: {made} made by the model, {len(results) - made} from the cache"


def main() -> None:
    before = cache.stats()
    for user, fact in [
        ("ada", "I write proofs all day, and like dry jokes."),
        ("bo", "I have just moved to Lisbon."),
        ("cy", "I work nights. Please keep it short."),
    ]:
        learn(user, fact)
    print(f"three users, asked of {llm.name}")
    print(turns(20))

    print("\nada tells something new")
    removed = learn("ada", "My exam is on Friday, and I am nervous.")
    print(f"{removed} state was taken back" if removed == 1 else f"{removed} states were taken back")
    print(turns(20))
    print(f"ada is now: {persona_of('ada').response['portrait']}")

    print("\nada tells more while the model is at work for her")
    learn("ada", "I passed!")
    with ThreadPoolExecutor() as pool:
        calls = llm.calls
        slow = pool.submit(persona_of, "ada")
        while llm.calls == calls:
            time.sleep(0.001)
        learn("ada", "I am going to celebrate.")
        late, now = slow.result(), persona_of("ada")
    print(f"the late state is of revision {late.response['revision']}, and nobody gets it any more")
    print(f"ada is now of revision {now.response['revision']}: {now.response['portrait']}")
    print(turns(20))

    print(f"\n{summary(cache, before, llm.calls)}")


if __name__ == "__main__":
    with cache:
        main()
