#!/usr/bin/env bash
# Tests the Python client in a virtual environment that it makes under the target folder. Servers are started by the tests
# themselves, with the built module.
#
#   scripts/python.sh core   the client alone, which needs nothing but redis-py
#   scripts/python.sh        ruff, mypy, and all tests, adapters against the libraries they are for
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-test}
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/python-$what
package=$PWD/clients/python

# Made anew when what it needs has changed.
wanted=$(sha256sum "$package/pyproject.toml" | cut -d' ' -f1)
if [ "$(cat "$venv/made" 2>/dev/null)" != "$wanted" ]; then
    mkdir -p "$target"
    python3 -m venv --clear "$venv" || {
        echo "no virtual environment can be made: apt-get install python3-venv" >&2
        exit 1
    }
    # uv installs in seconds what takes pip two minutes; where it cannot reach an index that pip is set up for, pip does it.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" -e "$package[$what]" ||
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$package[$what]"
    echo "$wanted" >"$venv/made"
fi

cd "$package"
LLMCACHE_SO=$(realpath "${LLMCACHE_SO:-$target/release/libllmcache.so}")
export LLMCACHE_SO
pytest=("$venv/bin/pytest" -q -n "${PYTHON_THREADS:-4}" --dist loadfile)
case $what in
    core) exec "${pytest[@]}" tests/test_{cache,calls,outage,shelves,fallback,near,cluster,decorator}.py ;;
    test)
        recipes=../../examples/recipes
        "$venv/bin/ruff" format --check --quiet . $recipes
        "$venv/bin/ruff" check --quiet . $recipes
        "$venv/bin/mypy"
        "$venv/bin/mypy" $recipes
        exec "${pytest[@]}"
        ;;
    *) echo "usage: scripts/python.sh [core]" >&2 && exit 2 ;;
esac
