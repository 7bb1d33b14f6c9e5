"""The command line: `llmcache`, of the extra `cli`."""

from __future__ import annotations

import sys

#: What the extra brings.
_NEEDED = frozenset(["typer", "rich", "click", "shellingham"])


def main() -> None:
    """What the script `llmcache` runs."""
    try:
        from .commands import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.exit(f"llmcache: {error.name} is missing: pip install 'llmcache-redis[cli]'")
    app()
