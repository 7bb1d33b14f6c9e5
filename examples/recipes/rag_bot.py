"""A bot that answers from documents, and forgets what it said of a document when this changes.

    python rag_bot.py

tells a story: a copy of documents/ is asked, changed, and asked again.

    python rag_bot.py documents

answers you. Change the documents meanwhile, or add some.
"""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import sys
import tempfile
import textwrap
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from llmcache import Cache, Result

from model import llm
from summary import summary

SYSTEM = "Answer from the documents only. Say so if they do not tell."
#: How many documents an answer is made from at most.
BEST = 2
COMMON = frozenset(
    "a an and are as at be by do does for from get how i in is it my of on or that the there to what when with".split()
)


@dataclass(frozen=True)
class Document:
    """A document as it was read."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """Names these very bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    @property
    def tag(self) -> str:
        """Of what is made from the document as it is."""
        return f"doc:{self.name}@{self.digest}"


class Library:
    """The documents of a folder, found by their words (BM25)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._documents: dict[str, Document] = {}

    def refresh(self) -> list[Document]:
        """Reads the folder; those documents that are not there any more as they were."""
        old = self._documents
        files = sorted(self._folder.glob("*.md"))
        self._documents = {file.stem: Document(file.stem, file.read_text(encoding="utf-8")) for file in files}
        return [document for name, document in old.items() if document != self._documents.get(name)]

    def search(self, question: str) -> list[Document]:
        """The documents that fit a question, by name."""
        words = {name: Counter(_words(document.text)) for name, document in self._documents.items()}
        average = sum(map(Counter.total, words.values())) / max(1, len(words)) or 1.0

        def score(name: str) -> float:
            length, total = words[name].total() / average, 0.0
            for word in set(_words(question)):
                among = sum(word in counted for counted in words.values())
                rarity = math.log(1 + (len(words) - among + 0.5) / (among + 0.5))
                often = words[name][word]
                total += rarity * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length))
            return total

        scores = {name: score(name) for name in words}
        best = sorted(scores, key=lambda name: scores[name], reverse=True)[:BEST]
        # What fits half as well as the best is chance.
        least = max(scores.values(), default=0.0) / 2
        return [self._documents[name] for name in sorted(best) if scores[name] > least]


class Bot:
    """Answers questions."""

    def __init__(self, cache: Cache, folder: Path) -> None:
        self._cache, self._library = cache, Library(folder)
        self._library.refresh()

    def refresh(self) -> dict[str, int]:
        """Looks for changes on disk; how many answers each changed document took with it.

        What is removed is what was made from the old text. Of ten bots that notice the change one after the other, none
        removes what the others have made from the new one.
        """
        return {old.name: self._cache.invalidate(tags=[old.tag]) for old in self._library.refresh()}

    def ask(self, question: str) -> Result:
        """An answer, cached under the documents that it is made from.

        The question may be put in other words (`mode="similar"`), since questions are only ever compared within one
        context: the same model, system prompt and params. The params name the documents and their digests, so

        - two questions that lead to different documents are never mixed, however alike they sound;
        - a new document needs no invalidation: questions that lead to it are in another context from then on, and are
          answered anew, while all others keep their answers;
        - an answer that was being made from a document while this changed is stored under the old digest, where nobody
          looks any more. That holds for documents that changed while no bot was running, too.

        So the digests keep answers right. The tags take back what nobody will ask for any more, so that memory and
        figures are those of living answers; and `llmcache invalidate --tag doc:returns` is for people.
        """
        found = self._library.search(question)
        if not found:
            return Result("The documents do not tell.", False, Decimal(0))
        # In the order of their names, not of their scores: "the same documents" is to be one context.
        context = {"documents": {document.name: document.digest for document in found}}
        material = "\n".join(document.text for document in found)
        return self._cache.get_or_call(
            question,
            lambda: llm.complete(f"{material}\n{question}", SYSTEM).made,
            model=llm.name,
            system=SYSTEM,
            params=context,
            mode="similar",
            tags=[tag for document in found for tag in (f"doc:{document.name}", document.tag)],
            strategy="aggressive",
        )


def _words(text: str) -> list[str]:
    """Words without their endings, so that bikes are like a bike."""
    return [word[:6].removesuffix("s") for word in re.findall(r"\w+", text.lower()) if word not in COMMON]


def story(cache: Cache, folder: Path) -> None:
    """What is asked, and what happens to the documents meanwhile."""
    bot = Bot(cache, folder)

    def ask(*questions: str) -> None:
        for question in questions:
            result = bot.ask(question)
            print(f"  {'cache' if result.was_cached else 'model'}  {question}")
            print(f"         {textwrap.shorten(result.response, 80)}")

    def look() -> None:
        for name, removed in bot.refresh().items():
            print(f"  {name}.md has changed: {removed} answer{'' if removed == 1 else 's'} taken back")

    returns, frame = "How many days do I have to return a bike?", "How long does the warranty on a frame last?"
    print("asked, and asked again in other words")
    ask(returns, frame, "How long does delivery to islands take?")
    ask("hi, how many days do I have to return a bike please", "How long does the warranty on the frame last")
    print("alike, but not the same")
    ask("How long does delivery take?", "How long does the warranty on brake pads last?")

    print("\nreturns.md: 60 days instead of 30")
    file = folder / "returns.md"
    file.write_text(file.read_text().replace("30 days", "60 days"))
    look()
    ask(returns, frame)

    print("\nracing.md is new")
    (folder / "racing.md").write_text(
        "# Racing frames\n\nThe warranty on a racing frame lasts one year, and ends with a race.\n"
    )
    look()
    ask(returns, frame)


def chat(cache: Cache, folder: Path) -> None:
    """Answers lines until there are no more."""
    bot = Bot(cache, folder)
    print("ask about the documents; an empty line ends", file=sys.stderr)
    while question := sys.stdin.readline().strip():
        for name, removed in bot.refresh().items():
            print(f"({name}.md has changed: answers taken back: {removed})")
        result = bot.ask(question)
        print(f"[{'cache' if result.was_cached else 'model'}] {result.response}", flush=True)


def main() -> None:
    with Cache(name="recipe:rag") as cache, tempfile.TemporaryDirectory() as place:
        before = cache.stats()
        if len(sys.argv) > 1:
            chat(cache, Path(sys.argv[1]))
        else:
            cache.invalidate(everything=True)  # so that this can be run again
            copy = shutil.copytree(Path(__file__).with_name("documents"), Path(place, "documents"))
            story(cache, copy)
        print(f"\n{summary(cache, before, llm.calls)}")


if __name__ == "__main__":
    main()
