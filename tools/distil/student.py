"""Training of the token table: pooled rows learn to imitate the teacher's sentence vectors.

Plain numpy: the model is one matrix, so the gradient fits on a page and no framework is needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tokenizers import Tokenizer

from teacher import Floats

DIMS = 256
SIF_A = 1e-3
CLUSTER = 128
BATCH = 1_024
ADAM_BLOCK = 512


@dataclass(frozen=True)
class Settings:
    """Every number that the training depends on, besides its data."""

    epochs: int = 5
    rate: float = 2e-3
    gram_weight: float = 5.0
    contrast_weight: float = 0.2
    contrast_scale: float = 20.0
    seed: int = 7


def count_tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> csr_array:
    """Texts by tokens: how often each token stands in each text, [CLS] and [SEP] left out."""
    ids = [np.array(e.ids, np.int32) for e in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])])
    indices = np.concatenate(ids) if ids else np.empty(0, np.int32)
    ones = np.ones(len(indices), np.float32)
    counts = csr_array((ones, indices, starts), shape=(len(ids), tokenizer.get_vocab_size()))
    counts.sum_duplicates()
    return counts


def unit(rows: Floats) -> Floats:
    """Rows of length one; a row of zeros stays as it is."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    out: Floats = rows / np.maximum(lengths, 1e-12)
    return out


def principal_axes(rows: Floats, dims: int) -> Floats:
    """Axes of most energy, as columns. Not centred: a shift of the origin would change the cosines."""
    _, vectors = np.linalg.eigh((rows.T @ rows).astype(np.float64))
    return np.ascontiguousarray(vectors[:, ::-1][:, :dims], np.float32)


def first_table(token_vectors: Floats, axes: Floats, counts: csr_array) -> Floats:
    """The start: the teacher's vectors of single tokens, frequent tokens weighing less (SIF)."""
    frequency = np.asarray(counts.sum(axis=0)).ravel()
    share = frequency / frequency.sum()
    weight = (SIF_A / (SIF_A + share)).astype(np.float32)
    table: Floats = unit(token_vectors @ axes) * weight[:, None]
    return table


def topic_runs(vectors: Floats, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Cut all rows into runs of at most `CLUSTER` neighbours.

    Every split is at the median along the line through two random rows, so that each epoch sees other neighbourhoods
    and all runs have the same size.
    """
    pending = [rng.permutation(len(vectors))]
    runs = []
    while pending:
        rows = pending.pop()
        if len(rows) <= CLUSTER:
            runs.append(rows)
            continue
        a, b = vectors[rng.choice(rows, 2, replace=False)]
        half = CLUSTER * max(1, round(len(rows) / CLUSTER / 2))
        order = np.argpartition(vectors[rows] @ (a - b), half)
        pending += [rows[order[:half]], rows[order[half:]]]
    return runs


def batches(vectors: Floats, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """One epoch: batches of several topics each, so that a batch holds both near and far pairs."""
    runs = topic_runs(vectors, rng)
    order = rng.permutation(len(runs))
    step = BATCH // CLUSTER
    for start in range(0, len(order), step):
        yield np.concatenate([runs[i] for i in order[start : start + step]])


def gradient(pooled: Floats, target: Floats, gram: Floats, settings: Settings) -> tuple[Floats, NDArray[np.float64]]:
    """The gradient with regard to the sums of rows, and the three parts of the loss."""
    size = len(pooled)
    lengths = np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-6)
    unit_rows = pooled / lengths

    cosine_loss = 1 - np.einsum("ij,ij->", unit_rows, target) / size
    slope = target * np.float32(-1 / size)

    error = unit_rows @ unit_rows.T
    error -= gram
    gram_loss = np.einsum("ij,ij->", error, error) / size**2
    slope += (error @ unit_rows) * np.float32(4 * settings.gram_weight / size**2)

    logits = (unit_rows @ target.T) * np.float32(settings.contrast_scale)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = np.diagonal(logits).copy()
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    contrast_loss = np.mean(np.log(total[:, 0]) - chosen)
    logits /= total
    np.fill_diagonal(logits, np.diagonal(logits) - 1)
    slope += (logits @ target) * np.float32(settings.contrast_weight * settings.contrast_scale / size)

    slope -= np.einsum("ij,ij->i", slope, unit_rows)[:, None] * unit_rows
    return slope / lengths, np.array([cosine_loss, gram_loss, contrast_loss])


class Adam:
    """Dense Adam, done in blocks of rows that fit a processor's cache."""

    def __init__(self, table: Floats) -> None:
        self.table = table
        self.mean = np.zeros_like(table)
        self.square = np.zeros_like(table)
        self.steps = 0

    def step(self, slope: Floats, rate: float) -> None:
        self.steps += 1
        correction = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for start in range(0, len(self.table), ADAM_BLOCK):
            rows = slice(start, start + ADAM_BLOCK)
            g, mean, square = slope[rows], self.mean[rows], self.square[rows]
            mean *= np.float32(0.9)
            mean += g * np.float32(0.1)
            square *= np.float32(0.999)
            np.multiply(g, g, out=g)
            g *= np.float32(0.001)
            square += g
            np.sqrt(square, out=g)
            g += np.float32(1e-8)
            np.divide(mean, g, out=g)
            g *= np.float32(rate * correction)
            self.table[rows] -= g


def train(counts: csr_array, teacher: Floats, axes: Floats, table: Floats, settings: Settings) -> Floats:
    """Train `table` in place and return it. `teacher` rows belong to the rows of `counts`."""
    rng = np.random.default_rng(settings.seed)
    target = unit(teacher @ axes)
    adam = Adam(table)
    total_steps = settings.epochs * -(-len(target) // BATCH)
    for epoch in range(settings.epochs):
        begun = time.perf_counter()
        losses = []
        for rows in batches(target, rng):
            part = counts[rows]
            full = teacher[rows]
            slope, loss = gradient(part @ table, target[rows], full @ full.T, settings)
            rate = settings.rate * max(0.0, 1 - adam.steps / total_steps)
            adam.step(part.T.tocsr() @ slope, rate)
            losses.append(loss)
        cosine, gram, contrast = np.mean(losses, axis=0)
        seconds = time.perf_counter() - begun
        print(
            f"epoch {epoch + 1}: 1 - cosine {cosine:.4f}, gram {gram:.5f}, contrast {contrast:.3f}, {seconds:.0f} s",
            flush=True,
        )
    return table
