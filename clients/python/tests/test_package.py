"""What people install: the wheel, without anything that only tests need."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")

TRY = """
import importlib, pkgutil, sys
import llmcache
with llmcache.Cache("memory:") as cache:
    assert cache.get_or_call("p", lambda: "x") == ("x", False, 0)
    assert cache.get("p").text == "x"
missing = set()
for module in pkgutil.walk_packages(llmcache.__path__, "llmcache."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            missing.add(error.name.partition(".")[0])
print(*sorted(missing))
"""


def _run(*words: object, **environ: str) -> subprocess.CompletedProcess[str]:
    told = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return subprocess.run(
        [str(word) for word in words], env=told | environ, capture_output=True, text=True, timeout=120
    )


@pytest.mark.skipif(not UV.exists(), reason="no uv beside the interpreter")
def test_the_wheel_works_with_what_it_asks_for(tmp_path: Path) -> None:
    built = _run(UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, PACKAGE)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    there = {
        str(file.relative_to(PACKAGE / "src"))
        for file in (PACKAGE / "src").rglob("*")
        if file.is_file() and file.suffix not in (".pyc", ".so")
    }
    assert there <= inside, there - inside
    assert not [name for name in inside if "test" in name]

    venv = tmp_path / "venv"
    assert _run(sys.executable, "-m", "venv", "--without-pip", venv).returncode == 0
    python = venv / "bin" / "python"
    installed = _run(UV, "pip", "install", "--quiet", "--python", python, wheel)
    assert installed.returncode == 0, installed.stderr

    tried = _run(python, "-c", TRY)
    assert tried.returncode == 0, tried.stderr
    # Everything else can be imported, or says by its import which library it is for.
    extras = {"anthropic", "langchain_core", "litellm", "openai", "rich", "sqlalchemy", "sqlglot", "starlette", "typer"}
    assert set(tried.stdout.split()) <= extras, tried.stdout

    told = _run(venv / "bin" / "llmcache", "--help")
    assert told.returncode != 0 and "llmcache-redis[cli]" in told.stderr and "Traceback" not in told.stderr
    installed = _run(UV, "pip", "install", "--quiet", "--python", python, f"{wheel}[cli]")
    assert installed.returncode == 0, installed.stderr
    told = _run(venv / "bin" / "llmcache", "--help")
    assert told.returncode == 0 and "report" in told.stdout
    assert _run(python, "-m", "llmcache.cli", "--url", "memory:", "bench", "--help").returncode == 0
