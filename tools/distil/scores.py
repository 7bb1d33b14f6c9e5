"""How well a table imitates its teacher on texts that it never saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr
from tokenizers import Tokenizer

from table import Table
from teacher import Floats

LEADING = (32, 64, 96, 128)
NEAREST = 10
NEAR = 0.5


def imitation(table: Table, tokenizer: Tokenizer, texts: Sequence[str], teacher: Floats) -> dict[str, float]:
    """Agreement of the pairwise similarities among held-out texts.

    `gram error` is the mean absolute difference over all pairs. The near pairs are each text's nearest ones by the
    teacher, which is where thresholds lie; their rank correlation says more than that of all pairs.
    """
    ours = table.encode(tokenizer, texts)
    theirs = teacher @ teacher.T
    mine = ours @ ours.T
    np.fill_diagonal(theirs, -1)
    order = np.argsort(-theirs, axis=1)[:, :NEAREST]
    upper = np.triu_indices(len(texts), 1)
    all_mine, all_theirs = mine[upper], theirs[upper]
    near = np.take_along_axis(mine, order, 1).ravel(), np.take_along_axis(theirs, order, 1).ravel()
    close = all_theirs >= NEAR
    np.fill_diagonal(mine, -1)
    found = np.argsort(-mine, axis=1)[:, :NEAREST]
    shared = [len(set(a) & set(b)) for a, b in zip(order.tolist(), found.tolist(), strict=True)]
    return {
        "gram error": float(np.abs(all_mine - all_theirs).mean()),
        f"gram error where the teacher's cosine >= {NEAR}": float(np.abs(all_mine - all_theirs)[close].mean()),
        "pearson, all pairs": float(np.corrcoef(all_mine, all_theirs)[0, 1]),
        "spearman, all pairs": float(spearmanr(all_mine[::7], all_theirs[::7]).statistic),
        f"spearman, the {NEAREST} nearest of each": float(spearmanr(*near).statistic),
        f"nearest {NEAREST} shared": float(np.mean(shared)) / NEAREST,
        "nearest one is the teacher's": float(np.mean(order[:, 0] == found[:, 0])),
    }


def leading_energy(vectors: Floats) -> dict[int, float]:
    """Mean share of the squared length that the first dimensions hold."""
    total = np.cumsum((vectors**2).mean(axis=0))
    return {dims: float(total[dims - 1] / total[-1]) for dims in LEADING}
