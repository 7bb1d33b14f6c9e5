"""Distils a token table from all-MiniLM-L6-v2 and writes the model files.

    distil.py label  --teacher DIR --work DIR     the teacher's vectors of the training texts (resumable; the long step)
    distil.py copies --teacher DIR --work DIR     near-copies of training texts, and the teacher's vectors of them
    distil.py train  --teacher DIR --work DIR     the table in full precision, rotated: WORK/table.npy
    distil.py export --teacher DIR --work DIR     the model files and the fixtures of the tests
    distil.py score  --teacher DIR --work DIR     scores of the exported table on held-out texts

README.md beside this file has the whole course.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import vstack

import copies
import fixtures
import labels
import student
import texts
import words
from scores import imitation, leading_energy
from table import Table
from teacher import Floats, Teacher, load_tokenizer

ROOT = Path(__file__).resolve().parents[2]


def label(args: argparse.Namespace) -> None:
    args.work.mkdir(parents=True, exist_ok=True)
    lines = texts.training_texts(args.data)
    texts.write_lines(args.work / "texts.txt", lines)
    labels.label(Teacher(args.teacher, args.threads), lines, args.work, "texts")


def make_copies(args: argparse.Namespace) -> None:
    teacher = Teacher(args.teacher, args.threads)
    lines = texts.read_lines(args.work / "texts.txt")
    skipped = set(held_out_of(args).tolist())
    made = copies.near_copies(lines, skipped, token_vectors(args), teacher.tokenizer, args.number)
    texts.write_lines(args.work / "copies.txt", [text for _, text in made])
    texts.write_lines(args.work / "copies.of.txt", [str(index) for index, _ in made])
    labels.label(teacher, [text for _, text in made], args.work, "copies")


def train(args: argparse.Namespace) -> None:
    tokenizer = load_tokenizer(args.teacher)
    lines = texts.read_lines(args.work / "texts.txt")
    teacher = labels.load(args.work, "texts", len(lines))
    keep = np.setdiff1d(np.arange(len(teacher)), held_out_of(args))
    normal = texts.normalised(args.work, "texts", lines)
    counts = student.count_tokens(tokenizer, [normal[i] for i in keep])
    teacher = teacher[keep]
    axes = student.principal_axes(teacher, student.DIMS)
    table = student.first_table(token_vectors(args), axes, counts)
    corpus_counts = counts
    if (args.work / "copies.txt").exists():
        extra = texts.read_lines(args.work / "copies.txt")
        extra_vectors = labels.load(args.work, "copies", len(extra))
        extra = extra[: len(extra_vectors)]
        normal = texts.normalised(args.work, "copies", extra)
        counts = vstack([counts, student.count_tokens(tokenizer, normal)], format="csr")
        teacher = np.concatenate([teacher, extra_vectors])
    settings = student.Settings(**{f.name: getattr(args, f.name) for f in fields(student.Settings)})
    print(f"{counts.shape[0]:,} texts, {corpus_counts.shape[0]:,} of them no copies; {settings}", flush=True)
    used = np.asarray(counts.sum(axis=1)).ravel() > 0
    table = student.train(counts[used], teacher[used], axes, table, settings)
    np.save(args.work / "table.npy", rotate(table, corpus_counts @ table))


def rotate(table: Floats, pooled: Floats) -> Floats:
    """Turn the space so that the leading dimensions hold the most: no cosine changes, and a search can stop early."""
    return table @ student.principal_axes(student.unit(pooled), table.shape[1])


def export(args: argparse.Namespace) -> None:
    args.model.mkdir(parents=True, exist_ok=True)
    args.fixtures.mkdir(parents=True, exist_ok=True)
    lines = texts.read_lines(args.work / "texts.txt")
    (args.model / "vocab.txt").write_bytes((args.teacher / "vocab.txt").read_bytes())
    Table.quantise(np.load(args.work / "table.npy")).write(args.model / "table.bin")
    number = words.write_words(args.model / "words.tsv", lines)
    tokenizer = load_tokenizer(args.teacher)
    held = [lines[i] for i in held_out_of(args)]
    fixtures.write_wordpiece(args.fixtures / "wordpiece.jsonl.gz", tokenizer, held)
    fixtures.write_encoding(args.fixtures / "encoding.jsonl", tokenizer, Table.read(args.model / "table.bin"), held)
    for path in [*sorted(args.model.iterdir()), *sorted(args.fixtures.iterdir())]:
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    print(f"{number:,} words")


def score(args: argparse.Namespace) -> None:
    tokenizer = load_tokenizer(args.teacher)
    lines = texts.read_lines(args.work / "texts.txt")
    teacher = labels.load(args.work, "texts", len(lines))
    held = [i for i in held_out_of(args) if i < len(teacher)]
    table = Table.read(args.model / "table.bin")
    print(f"model {table.model_id:08x}, {len(held):,} held-out texts")
    for name, value in imitation(table, tokenizer, [lines[i] for i in held], teacher[held]).items():
        print(f"  {name}: {value:.4f}")
    for dims, share in leading_energy(table.encode(tokenizer, [lines[i] for i in held])).items():
        print(f"  energy of the first {dims} dimensions: {share:.3f}")


def held_out_of(args: argparse.Namespace) -> NDArray[np.int64]:
    return texts.held_out(len(texts.read_corpus(args.data)))


def token_vectors(args: argparse.Namespace) -> Floats:
    """The teacher's vector of every single token, made once."""
    path = args.work / "tokens.npy"
    if not path.exists():
        teacher = Teacher(args.teacher, args.threads)
        ids = teacher.tokenizer.get_vocab()
        np.save(path, teacher.encode_ids([[ids["[CLS]"], token, ids["[SEP]"]] for token in range(len(ids))]))
    vectors: Floats = np.load(path)
    return vectors


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for function in (label, make_copies, train, export, score):
        name = "copies" if function is make_copies else function.__name__
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("--teacher", type=Path, required=True, help="folder with the teacher's files")
        command.add_argument("--work", type=Path, required=True, help="folder for intermediate files")
        command.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
        command.add_argument("--model", type=Path, default=ROOT / "model")
        command.add_argument("--fixtures", type=Path, default=ROOT / "tests" / "fixtures")
        command.add_argument("--threads", type=int, default=2)
        if function is make_copies:
            command.add_argument("--number", type=int, default=copies.NUMBER)
        if function is train:
            for field in fields(student.Settings):
                name = f"--{field.name.replace('_', '-')}"
                command.add_argument(name, type=type(field.default), default=field.default)
    return parser.parse_args()


if __name__ == "__main__":
    parsed = arguments()
    parsed.function(parsed)
