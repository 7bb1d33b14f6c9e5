"""The teacher's vectors of a list of texts, kept in chunks so that a long labelling can be interrupted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from teacher import DIMS, Floats, Teacher

CHUNK = 8_192


def chunk_path(folder: Path, name: str, index: int) -> Path:
    return folder / "labels" / f"{name}-{index:04d}.npy"


def label(teacher: Teacher, texts: Sequence[str], folder: Path, name: str) -> None:
    """Label every chunk of `texts` that `folder` lacks.

    Half precision is plenty for vectors of length one, and halves what the chunks take.
    """
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for index, start in enumerate(range(0, len(texts), CHUNK)):
        path = chunk_path(folder, name, index)
        if path.exists():
            continue
        part = texts[start : start + CHUNK]
        begun = time.perf_counter()
        vectors = teacher.encode(part).astype(np.float16)
        draft = path.with_suffix(".draft.npy")
        np.save(draft, vectors)
        draft.replace(path)
        rate = len(part) / (time.perf_counter() - begun)
        print(f"{name}: {start + len(part):,} of {len(texts):,} labelled, {rate:.0f} a second", flush=True)


def load(folder: Path, name: str, size: int) -> Floats:
    """The labels of the first texts, as far as they are there without a gap; at most `size` rows."""
    chunks = []
    for index in range((size + CHUNK - 1) // CHUNK):
        path = chunk_path(folder, name, index)
        if not path.exists():
            break
        chunks.append(np.load(path))
    if not chunks:
        return np.empty((0, DIMS), np.float32)
    return np.concatenate(chunks)[:size].astype(np.float32)
