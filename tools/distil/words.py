"""The words of the training texts and in how many of them each occurs.

The server takes a word of this file for a real one and looks for a slip of the pen only in others. Slips that the
texts repeat are therefore left out; they were picked by eye (`misspelt.txt`), because every rule tried for it also
struck names and technical words.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from pathlib import Path

from normalise import dictionary_words

LEAST = 3
MISSPELT = Path(__file__).with_name("misspelt.txt")


def document_frequencies(texts: Iterable[str]) -> tuple[int, collections.Counter[str]]:
    """The number of texts, and for each word how many of them hold it."""
    counts: collections.Counter[str] = collections.Counter()
    documents = 0
    for text in texts:
        documents += 1
        counts.update(set(dictionary_words(text)))
    return documents, counts


def write_words(path: Path, texts: Iterable[str]) -> int:
    """Write `words.tsv`, most frequent first; the number of words written."""
    documents, counts = document_frequencies(texts)
    misspelt = set(MISSPELT.read_text(encoding="utf-8").split())
    kept = [(word, count) for word, count in counts.items() if count >= LEAST and word not in misspelt]
    kept.sort(key=lambda item: (-item[1], item[0]))
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"# {documents} documents\n")
        file.writelines(f"{word}\t{count}\n" for word, count in kept)
    return len(kept)
