"""A tour: plans, workers, readers, and a price that changes.

    python -m property_analysis

Workers are of the command line, and would run all the time, as many as you like, on any machine:

    llmcache -n recipe:property warm --profile investor --python property_analysis.analysis:worker
"""

from __future__ import annotations

import json
import subprocess
import sys

from llmcache import Cache, Unavailable

from model import llm
from summary import summary

from .analysis import PROFILES, Listing, change_price, look, plan, read_listings

NAME = "recipe:property"


def work(profile: str) -> int:
    """A worker that ends when nothing is due; how many analyses it made."""
    words = ["-n", NAME, "warm", "--profile", profile, "--once", "-j", "8", "--json"]
    words += ["--python", "property_analysis.analysis:worker"]
    print(f"$ llmcache {' '.join(words)}")
    done = subprocess.run([sys.executable, "-m", "llmcache.cli", *words], stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    print(f"  made {told['made']} analyses for ${float(told['cost_told_usd']):.6f}")
    made: int = told["made"]
    return made


def visit(cache: Cache, listings: dict[str, Listing]) -> None:
    """Readers of each kind look at all listings."""
    looks = [look(cache, profile, listing) for profile in PROFILES for listing in listings.values()]
    print(f"  {len(looks)} looks: {sum(result.was_cached for result in looks)} from the cache")


def main() -> None:
    # A reader who comes while a worker is at it waits for the worker, but no longer than that.
    with Cache(name=NAME, block=5) as cache:
        cache.invalidate(everything=True)  # so that this can be run again
        before, listings = cache.stats(), read_listings()

        print(f"{len(listings)} listings, planned for {', '.join(PROFILES)}; the model is {llm.name}")
        plan(cache, listings.values())
        made = work("investor")
        first = look(cache, "investor", listings["L07"])
        print(f"  the very first reader has a {'hit' if first.was_cached else 'miss'}: {first.response}")

        print("\nthe other profiles: only what is missing is made")
        made += work("all")
        visit(cache, listings)

        print(f"\n{listings['L07'].address} falls to 349,000")
        removed = change_price(cache, listings, "L07", 349_000)
        print(f"  {removed} analyses taken back, {cache.stats().entries} stay")
        made += work("all")
        visit(cache, listings)
        print(f"  investors read: {look(cache, 'investor', listings['L07']).response}")

        print(f"\n{summary(cache, before, made + llm.calls)}; readers waited for {llm.calls} calls")


if __name__ == "__main__":
    try:
        main()
    except Unavailable as why:
        sys.exit(f"plans are kept by the server: {why}")
    except subprocess.CalledProcessError as why:
        sys.exit(f"a worker has ended with {why.returncode}; what it has made stays, and the next one goes on")
