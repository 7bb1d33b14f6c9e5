"""Near pairs of permitted text for training the pair scorer, with the teacher's cosine as their target.

    pairs.py --teacher DIR --work DIR [--model DIR] [--number N]

The scorer only ever sees the best candidate that the table found, so the pairs are those that the table itself finds
near: most of them above cosine 0.75, some down to 0.6 so that the trees have something to compare with. To them come
near-copies, in which one word makes the difference. Pairs that are equal once normalised are left out: the server
answers those before it asks the scorer. Writes WORK/pairs.tsv: text, text, target.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import labels
import texts
from table import Table
from teacher import Floats, load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
NUMBER = 140_000
COPIES_SHARE = 0.35
FAR_SHARE = 0.15
FLOOR, NEAR = 0.60, 0.75
NEIGHBOURS = 6
QUERIES = 30_000
BLOCK = 500
SEED = 3


def neighbours(vectors: Floats, queries: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """The nearest rows of each query, itself left out, and their cosines; exact, block by block."""
    found = np.empty((len(queries), NEIGHBOURS), np.int64)
    cosines = np.empty((len(queries), NEIGHBOURS), np.float32)
    transposed = np.ascontiguousarray(vectors.T)
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        similarity = vectors[block] @ transposed
        similarity[np.arange(len(block)), block] = -1
        best = np.argpartition(-similarity, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        found[start : start + BLOCK] = best
        cosines[start : start + BLOCK] = np.take_along_axis(similarity, best, 1)
    return found, cosines


def choose(cosines: Floats, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which of many pairs to keep: all far ones together are `FAR_SHARE` of them at most."""
    near = rng.permutation(np.flatnonzero(cosines >= NEAR))
    far = rng.permutation(np.flatnonzero((cosines >= FLOOR) & (cosines < NEAR)))
    far = far[: int(number * FAR_SHARE)]
    return np.concatenate([near[: number - len(far)], far])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    parser.add_argument("--number", type=int, default=NUMBER)
    args = parser.parse_args()

    rng = np.random.default_rng(SEED)
    tokenizer = load_tokenizer(args.teacher)
    table = Table.read(args.model / "table.bin")
    lines = texts.read_lines(args.work / "texts.txt")
    teacher = labels.load(args.work, "texts", len(lines))
    held = set(texts.held_out(len(texts.read_corpus(args.data))).tolist())
    keep = [i for i in range(len(teacher)) if i not in held]
    normal = texts.normalised(args.work, "texts", lines)
    lines, normal, teacher = [lines[i] for i in keep], [normal[i] for i in keep], teacher[keep]
    vectors = table.encode_normalised(tokenizer, normal)

    queries = rng.choice(len(lines), min(QUERIES, len(lines)), replace=False)
    found, cosines = neighbours(vectors, queries)
    a, b = np.repeat(queries, NEIGHBOURS), found.ravel()
    wanted = int(args.number * (1 - COPIES_SHARE))
    picked = choose(cosines.ravel(), wanted * 2, rng)
    rows: dict[tuple[str, str], float] = {}
    for i in rng.permutation(picked).tolist():
        x, y = int(a[i]), int(b[i])
        if normal[x] != normal[y] and (lines[y], lines[x]) not in rows and len(rows) < wanted:
            rows[lines[x], lines[y]] = float(teacher[x] @ teacher[y])

    for first, second, target, cosine in copied_pairs(args, table, rng):
        if cosine >= FLOOR and len(rows) < args.number:
            rows[first, second] = target
    write_grouped(args.work / "pairs.tsv", rows, rng)
    print(f"{len(rows):,} pairs, mean target {np.mean(list(rows.values())):.3f}")


Copied = list[tuple[str, str, float, float]]


def copied_pairs(args: argparse.Namespace, table: Table, rng: np.random.Generator) -> Copied:
    """Texts with their near-copies: target and the table's cosine."""
    tokenizer = load_tokenizer(args.teacher)
    lines = texts.read_lines(args.work / "texts.txt")
    teacher = labels.load(args.work, "texts", len(lines))
    copies = texts.read_lines(args.work / "copies.txt")
    origins = [int(index) for index in texts.read_lines(args.work / "copies.of.txt")]
    copy_vectors = labels.load(args.work, "copies", len(copies))
    normal = texts.normalised(args.work, "texts", lines), texts.normalised(args.work, "copies", copies)
    drawn = rng.permutation(min(len(copy_vectors), len(copies)))[: int(args.number * COPIES_SHARE * 1.5)].tolist()
    chosen = [i for i in drawn if normal[0][origins[i]] != normal[1][i]]
    sources = [origins[i] for i in chosen]
    before = table.encode_normalised(tokenizer, [normal[0][i] for i in sources])
    after = table.encode_normalised(tokenizer, [normal[1][i] for i in chosen])
    ours = np.einsum("ij,ij->i", before, after)
    theirs = np.einsum("ij,ij->i", teacher[sources], copy_vectors[chosen])
    first, second = [lines[i] for i in sources], [copies[i] for i in chosen]
    return list(zip(first, second, theirs.tolist(), ours.tolist(), strict=True))


def write_grouped(path: Path, rows: dict[tuple[str, str], float], rng: np.random.Generator) -> None:
    """Pairs of one first text stay together, texts in random order: the file's end can be held out for validation."""
    groups: dict[str, list[str]] = {}
    for (first, second), target in rows.items():
        if "\t" not in first + second:
            groups.setdefault(first, []).append(f"{first}\t{second}\t{target:.5f}")
    names = list(groups)
    texts.write_lines(path, [row for i in rng.permutation(len(names)) for row in groups[names[i]]])


if __name__ == "__main__":
    main()
