"""Near-copies: texts changed in a word or two, so that the table learns how much such a change weighs.

Real prompts hardly ever differ in a single word, but a cache is asked such pairs all the time. Only the teacher says
how near a copy is; none is taken for a paraphrase because of how it was made.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from teacher import Floats

NUMBER = 131_072
SEED = 11
KINDS = ("replace by a near word", "replace by any word", "drop", "swap", "insert")
SHARES = (0.34, 0.22, 0.24, 0.08, 0.12)
NEIGHBOURS = 12
LEAST_FREQUENT = 20
LONGEST = 40
CORE = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)
LETTERS = re.compile(r"[a-z]{3,}")


class Words:
    """Frequent whole words of the vocabulary, their nearest words by the teacher, and a draw by frequency."""

    def __init__(self, lines: Sequence[str], vectors: Floats, tokenizer: Tokenizer) -> None:
        counts = collections.Counter(word for line in lines for word in set(line.lower().split()))
        ids = tokenizer.get_vocab()
        self.words = sorted(w for w, n in counts.items() if n >= LEAST_FREQUENT and w in ids and LETTERS.fullmatch(w))
        rows = vectors[[ids[word] for word in self.words]]
        near = rows @ rows.T
        np.fill_diagonal(near, -1)
        best = np.argpartition(-near, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        self.near = {word: [self.words[j] for j in row] for word, row in zip(self.words, best, strict=True)}
        weight = np.sqrt([counts[word] for word in self.words])
        self.bounds = np.cumsum(weight / weight.sum())

    def any(self, rng: np.random.Generator) -> str:
        return self.words[min(int(np.searchsorted(self.bounds, rng.random())), len(self.words) - 1)]


def near_copies(
    lines: Sequence[str], skipped: set[int], vectors: Floats, tokenizer: Tokenizer, number: int
) -> list[tuple[int, str]]:
    """`number` changed texts with the index of the text that each was made from; `skipped` ones make none."""
    rng = np.random.default_rng(SEED)
    words = Words(lines, vectors, tokenizer)
    known = set(lines)
    made: list[tuple[int, str]] = []
    while len(made) < number:
        for index in rng.permutation(len(lines)).tolist():
            parts = lines[index].split()
            if index in skipped or not 3 <= len(parts) <= LONGEST:
                continue
            copy = change(parts, KINDS[rng.choice(len(KINDS), p=SHARES)], words, rng)
            if copy is None or copy in known:
                continue
            known.add(copy)
            made.append((index, copy))
            if len(made) == number:
                break
    return made


def change(parts: list[str], kind: str, words: Words, rng: np.random.Generator) -> str | None:
    """One copy, or None where this kind of change cannot be made."""
    out = list(parts)
    if kind == "drop":
        for _ in range(1 if len(out) < 6 else int(rng.integers(1, 3))):
            del out[int(rng.integers(len(out)))]
    elif kind == "swap":
        i, j = rng.choice(len(out), 2, replace=False)
        out[i], out[j] = out[j], out[i]
    elif kind == "insert":
        out.insert(int(rng.integers(len(out))), words.any(rng))
    else:
        places = [i for i, part in enumerate(out) if core(part).lower() in words.near]
        if not places:
            return None
        place = places[int(rng.integers(len(places)))]
        near = words.near[core(out[place]).lower()]
        new = near[int(rng.integers(len(near)))] if kind == "replace by a near word" else words.any(rng)
        out[place] = replaced(out[place], new)
    return " ".join(out)


def core(part: str) -> str:
    """A word without the punctuation around it."""
    match = CORE.match(part)
    return match[2] if match else part


def replaced(part: str, new: str) -> str:
    """`new` in the place of a word, keeping its capital and its punctuation."""
    match = CORE.match(part)
    before, old, after = match.groups() if match else ("", part, "")
    return before + (new.capitalize() if old[:1].isupper() else new) + after
