"""The command line, in this process and as one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from llmcache.cli.commands import app


def invoke(server: Any, *arguments: Any, stdin: str | bytes | None = None, name: str = "faq") -> Result:
    """Runs a command here, as into a pipe."""
    words = ["--url", server.url, "--name", name, *map(str, arguments)]
    return CliRunner().invoke(app, words, input=stdin)


def start(server: Any, *arguments: Any, folder: Path | None = None, **more: Any) -> subprocess.Popen[bytes]:
    """Runs a command as a process."""
    more = {"env": os.environ} | more
    words = [sys.executable, "-m", "llmcache.cli", "--url", server.url, "--name", "faq", *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(words, cwd=folder, **pipes)
