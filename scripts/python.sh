#!/usr/bin/env bash
# Checks and tests the Python client in a virtual environment that it makes under the target folder. Servers are started by
# the tests themselves, with the built module. `scripts/python.sh prepare` only makes the environment; words behind it, if
# any, are options for pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/python
package=$PWD/clients/python

# Made anew when what it needs has changed.
wanted=$(sha256sum "$package/pyproject.toml" | cut -d' ' -f1)
if [ "$(cat "$venv/made" 2>/dev/null)" != "$wanted" ]; then
    mkdir -p "$target"
    python3 -m venv --clear "$venv" || {
        echo "no virtual environment can be made: apt-get install python3-venv" >&2
        exit 1
    }
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$package[test]"
    echo "$wanted" >"$venv/made"
fi
[ "${1:-}" != prepare ] || exit 0

cd "$package"
"$venv/bin/ruff" format --check --quiet .
"$venv/bin/ruff" check --quiet .
"$venv/bin/mypy"
export LLMCACHE_SO=${LLMCACHE_SO:-$target/release/libllmcache.so}
exec "$venv/bin/pytest" -n "${PYTHON_THREADS:-3}" --dist loadfile -q "$@"
