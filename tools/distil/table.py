"""The shipped table: its file format, its quantisation and what the server computes with it."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from normalise import normalise
from student import count_tokens, unit
from teacher import Floats

MAGIC = b"LLMTABLE"
VERSION = 1
HEADER = struct.Struct("<8s4I")


@dataclass(frozen=True)
class Table:
    """Rows of bytes, each with its scale; the token's weight is part of the scale."""

    scales: Floats
    rows: NDArray[np.int8]

    @classmethod
    def quantise(cls, full: Floats) -> Table:
        """The nearest bytes; the largest component of each row becomes 127. A row of zeros has scale 0."""
        scales = (np.abs(full).max(axis=1) / 127).astype(np.float32)
        safe = np.where(scales > 0, scales, 1)[:, None]
        return cls(scales, np.rint(full / safe).astype(np.int8))

    @classmethod
    def read(cls, path: Path) -> Table:
        data = path.read_bytes()
        magic, version, rows, dims, model_id = HEADER.unpack_from(data)
        if magic != MAGIC or version != VERSION or len(data) != HEADER.size + rows * (4 + dims):
            raise ValueError(f"{path}: not a token table of version {VERSION}")
        scales = np.frombuffer(data, "<f4", rows, HEADER.size)
        table = cls(scales, np.frombuffer(data, np.int8, rows * dims, HEADER.size + 4 * rows).reshape(rows, dims))
        if table.model_id != model_id:
            raise ValueError(f"{path}: the body is not the one that its model id was made from")
        return table

    @property
    def body(self) -> bytes:
        return self.scales.astype("<f4").tobytes() + self.rows.tobytes()

    @property
    def model_id(self) -> int:
        """A number that changes with any bit of the table: stored vectors of another table must not be compared."""
        return int.from_bytes(hashlib.sha256(self.body).digest()[:4], "little")

    def write(self, path: Path) -> None:
        rows, dims = self.rows.shape
        path.write_bytes(HEADER.pack(MAGIC, VERSION, rows, dims, self.model_id) + self.body)

    def full(self) -> Floats:
        return self.scales[:, None] * self.rows.astype(np.float32)

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str]) -> Floats:
        """Vectors of texts as users write them."""
        return self.encode_normalised(tokenizer, [normalise(text) for text in texts])

    def encode_normalised(self, tokenizer: Tokenizer, texts: Sequence[str]) -> Floats:
        """Normalised sums of rows; a text without a known token gets a vector of zeros."""
        return unit(count_tokens(tokenizer, texts) @ self.full())
