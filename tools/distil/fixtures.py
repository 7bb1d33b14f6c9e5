"""What the tests of the server's tokenizer and encoder are held against: answers of the original and of this table."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from normalise import normalise
from table import Table

PLAIN = 2_600
NASTY = 2_400
ENCODED = 300
COMPONENTS = 16
SEED = 5

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The original tokenizer turns these words into special tokens; the server rightly reads them as text."""

RANGES = {
    "accents": (0x00C0, 0x024F),
    "combining": (0x0300, 0x036F),
    "greek": (0x0370, 0x03FF),
    "cyrillic": (0x0400, 0x04FF),
    "hebrew": (0x0590, 0x05FF),
    "arabic": (0x0600, 0x06FF),
    "devanagari": (0x0900, 0x097F),
    "thai": (0x0E00, 0x0E7F),
    "jamo": (0x1100, 0x11FF),
    "vietnamese": (0x1E00, 0x1EFF),
    "kana": (0x3040, 0x30FF),
    "cjk": (0x4E00, 0x9FFF),
    "cjk extension": (0x20000, 0x2A6DF),
    "cjk compatibility": (0xF900, 0xFAFF),
    "hangul": (0xAC00, 0xD7A3),
    "wide forms": (0xFF00, 0xFFEF),
    "emoji": (0x1F300, 0x1FAFF),
    "marks and arrows": (0x2000, 0x23FF),
    "cjk punctuation": (0x3000, 0x303F),
    "control": (0x00, 0x1F),
    "upper control": (0x7F, 0x9F),
    "private": (0xE000, 0xE0FF),
    "ascii": (0x20, 0x7E),
    "any": (0x00, 0x10FFFF),
}
ODD = (
    "\x00\t\n\r\x0b\x0c\x1c\x85\u00a0\u00ad\u1680\u180e\u200b\u200c\u200d\u200e"
    "\u2028\u2029\u202f\u2060\u3000\ufe0f\ufeff\ufffd"
)
RUNS = (
    "...", "!!!", "?!?!", "--", "((", "''", '""', "$$$", "@#", "~~", "^_^", "\\n", "</a>", "http://x.y/z?a=b&c=d",
    "50%", "£9.99", "1,000.00",
)  # fmt: skip
CASES = (
    "İstanbul", "ẞTRASSE", "straße", "ΣΊΣΥΦΟΣ", "ǅ", "ﬁne ﬂow", "Ⅳ", "①②",
    "e\u0301te\u0301", "été", "Ångström", "A\u030angstro\u0308m", "naïve café", "日本語 text", "한국어",
    "👨‍👩‍👧‍👦", "🇩🇪", "don't", "rock'n'roll", "C++", "x_y_z", "##ing",
)  # fmt: skip


def character(rng: np.random.Generator, low: int, high: int) -> str:
    """A random character of a range; lone surrogates are no text and become U+FFFD."""
    point = int(rng.integers(low, high + 1))
    return "\ufffd" if 0xD800 <= point <= 0xDFFF else chr(point)


def pieces(rng: np.random.Generator, texts: Sequence[str]) -> list[Callable[[], str]]:
    """The kinds of pieces that nasty texts are put together from."""

    def of(options: Sequence[str]) -> str:
        return options[int(rng.integers(len(options)))]

    def foreign() -> str:
        low, high = RANGES[of(list(RANGES))]
        return "".join(character(rng, low, high) for _ in range(int(rng.integers(1, 8))))

    def plain() -> str:
        words = of(texts).split()
        return of([" ", "  ", ""]).join(words[: int(rng.integers(1, 6))])

    def hurt() -> str:
        word = list(of(of(texts).split()))
        word.insert(int(rng.integers(len(word) + 1)), of([of(ODD), character(rng, *RANGES["combining"])]))
        return "".join(word)

    def long() -> str:
        letters = of(["a", "ab", "the", "é", "ß", "x9", "語", "."])
        return (letters * 210)[: int(rng.integers(95, 206))]

    def case() -> str:
        text = of(CASES)
        return text if rng.random() < 0.5 else text.upper()

    often = [foreign, foreign, plain, plain, hurt, case, case, lambda: of(ODD), lambda: of(RUNS)]
    return [*often * 4, long]


def nasty_texts(texts: Sequence[str], number: int) -> list[str]:
    """Texts that a tokenizer is likely to get wrong: foreign scripts, odd spaces, marks, controls, endless words."""
    rng = np.random.default_rng(SEED)
    kinds = pieces(rng, texts)
    out: list[str] = ["", " ", *CASES, *RUNS, *ODD, "a" * 100, "a" * 101, "é" * 100, "é" * 101, "e\u0301" * 60]
    while len(out) < number:
        made = [kinds[int(rng.integers(len(kinds)))]() for _ in range(int(rng.integers(1, 7)))]
        glue = " " if rng.random() < 0.7 else ""
        text = glue.join(made)
        if not any(word in text for word in SPECIAL):
            out.append(text)
    return out


def write_wordpiece(path: Path, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    """Texts and their ids by the original tokenizer: no special tokens, nothing cut off."""
    rows = [*texts[:PLAIN], *nasty_texts(texts, NASTY)]
    encodings = tokenizer.encode_batch(rows, add_special_tokens=False)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for text, encoding in zip(rows, encodings, strict=True):
            line = json.dumps({"text": text, "ids": encoding.ids}, separators=(",", ":"))
            file.write(line.encode("ascii") + b"\n")


def write_encoding(path: Path, tokenizer: Tokenizer, table: Table, texts: Sequence[str]) -> None:
    """Normalised texts and the first components of their vectors, computed from the bytes of the table."""
    rows = [normalise(text) for text in texts[:ENCODED]]
    vectors = table.encode_normalised(tokenizer, rows)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for text, vector in zip(rows, vectors, strict=True):
            head = [round(float(x), 5) for x in vector[:COMPONENTS]]
            file.write(json.dumps({"text": text, "vector": head}, separators=(",", ":")) + "\n")
