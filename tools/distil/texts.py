"""The training texts: which files they come from and how the work folder holds them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from normalise import normalise

HELD_OUT = 4_000
HELD_OUT_SEED = 20_240_501


def read_corpus(data: Path) -> list[str]:
    """The unlabelled prompts, in the file's order."""
    with gzip.open(data / "distil" / "corpus.txt.gz", "rt", encoding="utf-8") as file:
        return clean(file)


def read_intents(data: Path) -> list[str]:
    """The texts of the labelled utterances; their labels are not used."""
    with gzip.open(data / "distil" / "intents.jsonl.gz", "rt", encoding="utf-8") as file:
        return clean(json.loads(line)["text"] for line in file)


def clean(lines: Iterable[str]) -> list[str]:
    """One line per text: white space runs become a space, empty lines vanish."""
    joined = (" ".join(line.split()) for line in lines)
    return [line for line in joined if line]


def training_texts(data: Path) -> list[str]:
    """Corpus and intents without repeats; the corpus comes first, so its indices are those of its own lines."""
    return list(dict.fromkeys([*read_corpus(data), *read_intents(data)]))


def held_out(corpus_size: int) -> NDArray[np.int64]:
    """Indices of corpus lines that never train, for the scores."""
    chosen = np.random.default_rng(HELD_OUT_SEED).choice(corpus_size, HELD_OUT, replace=False)
    return np.sort(chosen)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write through a neighbour file, so that an interrupted run leaves no half of a file behind."""
    draft = path.with_suffix(path.suffix + ".draft")
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    draft.replace(path)


def read_lines(path: Path) -> list[str]:
    """Lines as `write_lines` wrote them; only the line feed ends a line."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def normalised(folder: Path, name: str, lines: Sequence[str]) -> list[str]:
    """What the encoder gets of each text.

    If `NAME.normal.txt` lies beside `NAME.txt`, it is taken: the same lines, normalised by the server itself.
    """
    path = folder / f"{name}.normal.txt"
    if not path.exists():
        return [normalise(line) for line in lines]
    ready = read_lines(path)
    if len(ready) < len(lines):
        raise ValueError(f"{path}: {len(ready)} lines for {len(lines)} texts")
    return ready[: len(lines)]
