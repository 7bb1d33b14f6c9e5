"""The cache simulation with the table alone: no guards, no pair scorer, no look-up of equal texts.

    evaluate.py --model DIR [--data DIR]

Nothing here trains anything: the questions of the simulation are Quora's and must not shape what ships. The rules are
those of `score_similarity.py` in the data folder, whose code does the counting. With --teacher and a folder the teacher
itself answers, which tells what the table could reach at best.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from table import Table
from teacher import Floats, Teacher

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = (0.80, 0.82, 0.85)


def scoring_rules(data: Path) -> ModuleType:
    """The data folder's own script, as a module."""
    spec = importlib.util.spec_from_file_location("score_similarity", data / "score_similarity.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(data / "score_similarity.py")
    rules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rules)
    vars(rules)["PRECISIONS"] = PRECISIONS
    return rules


def tokenizer_of(model: Path) -> Tokenizer:
    """A tokenizer from the shipped vocabulary alone, as the server has it."""
    tokens = (model / "vocab.txt").read_text(encoding="utf-8").split("\n")
    vocabulary = {token: i for i, token in enumerate(tokens) if token}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


def best_candidates(queries: Floats, entries: Floats) -> tuple[list[int], list[float]]:
    """For each query the most similar entry, and how similar it is."""
    similarity = queries @ entries.T
    best = similarity.argmax(axis=1)
    return best.tolist(), similarity[np.arange(len(best)), best].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "model")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--teacher", type=Path, help="let the teacher in this folder answer instead")
    args = parser.parse_args()

    rules = scoring_rules(args.data)
    folder = str(args.data / "similarity")
    entries, queries = rules.data(folder, "sim_entries"), rules.data(folder, "sim_queries")
    texts = [[row["text"] for row in rows.values()] for rows in (entries, queries)]
    if args.teacher:
        teacher = Teacher(args.teacher, threads=2)
        vectors = [teacher.encode(part) for part in texts]
    else:
        table, tokenizer = Table.read(args.model / "table.bin"), tokenizer_of(args.model)
        vectors = [table.encode(tokenizer, part) for part in texts]

    best, similarity = best_candidates(vectors[1], vectors[0])
    ids = list(entries)
    ranked = [(s, ids[b] in query["right"]) for b, s, query in zip(best, similarity, queries.values(), strict=True)]
    positives = sum(1 for query in queries.values() if query["right"])
    found = sum(ok for _, ok in ranked)
    print(f"best candidate right for {found / positives:.1%} of the queries that have a right one")
    for precision, point in rules.recall_at(ranked, positives, len(queries)).items():
        if point["threshold"] is None:
            print(f"precision {precision}: no threshold reaches it")
        else:
            print(f"precision {precision}: recall {point['recall']:.1%} at threshold {point['threshold']:.4f}")


if __name__ == "__main__":
    main()
