"""What is done already, in a file beside: whoever is killed goes on from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..question import canonical


class Notes:
    """The notes of one piece of work; others may have theirs in the same file."""

    def __init__(self, path: Path, *work: object) -> None:
        self.path = path
        self._mark = hashlib.sha256(canonical(work).encode()).hexdigest()[:16] + " "
        before = path.read_text("utf-8", "replace") if path.exists() else ""
        self.done = {line.removeprefix(self._mark) for line in before.split("\n") if line.startswith(self._mark)}
        self._file = path.open("a", encoding="utf-8")
        # The last line of one who was killed may be half.
        if before and not before.endswith("\n"):
            self._file.write("\n")

    def add(self, keys: Iterable[str]) -> None:
        """Notes that these are done; when this returns, a kill does not undo it."""
        self._file.write("".join(f"{self._mark}{key}\n" for key in keys))
        self._file.flush()

    def close(self, forget: bool) -> None:
        """No more comes. With `forget` all is done and nothing is to be gone on with."""
        self._file.close()
        if forget:
            lines = self.path.read_text("utf-8", "replace").splitlines(keepends=True)
            others = [line for line in lines if not line.startswith(self._mark)]
            if any(map(str.strip, others)):
                self.path.write_text("".join(others), "utf-8")
            else:
                self.path.unlink()
