"""What is done already, in a file beside: whoever is killed goes on from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from ..question import canonical


class Notes:
    """The notes of one piece of work; others may have theirs in the same file."""

    def __init__(self, path: Path, *work: object) -> None:
        self.path = path
        self._mark = hashlib.sha256(canonical(work).encode()).hexdigest()[:16] + " "
        before = path.read_text("utf-8", "replace") if path.exists() else ""
        self.done = {line.removeprefix(self._mark) for line in before.split("\n") if line.startswith(self._mark)}
        # The last line of one who was killed may be half.
        self._begin = "\n" if before and not before.endswith("\n") else ""
        self._file: TextIO | None = None

    def add(self, keys: Iterable[str]) -> None:
        """Notes that these are done; when this returns, a kill does not undo it."""
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
            self._file.write(self._begin)
        self._file.write("".join(f"{self._mark}{key}\n" for key in keys))
        self._file.flush()

    def close(self, forget: bool) -> None:
        """No more comes. With `forget` all is done and nothing is to be gone on with."""
        if self._file is not None:
            self._file.close()
        if forget and self.path.exists():
            lines = self.path.read_text("utf-8", "replace").splitlines(keepends=True)
            others = [line for line in lines if not line.startswith(self._mark)]
            if any(map(str.strip, others)):
                self.path.write_text("".join(others), "utf-8")
            else:
                self.path.unlink()
