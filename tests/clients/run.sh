#!/usr/bin/env bash
# Runs redis_py.py, metrics.py and, where there is a Node.js, the TypeScript example against a server with the module, which
# it starts and ends. What they need is installed under the target folder on the first run (redis-py and prometheus-client
# are not where PYTHON names an interpreter that has them).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
target=${CARGO_TARGET_DIR:-$root/target}
server=${LLMCACHE_REDIS_SERVER:-redis-server}
module=$(realpath "${LLMCACHE_SO:-$target/release/libllmcache.so}")
[ -f "$module" ] || { echo "no module at $module: cargo build --release" >&2; exit 1; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    python=$target/redis-py/bin/python
    if ! "$python" -c 'import redis, prometheus_client' 2>/dev/null; then
        python3 -m venv "$target/redis-py" || {
            echo "no virtual environment can be made: apt-get install python3-venv" >&2
            exit 1
        }
        "$python" -m pip install --quiet --disable-pip-version-check 'redis>=5,<9' 'prometheus-client>=0.20,<1'
    fi
fi

node=$(node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
example=$target/typescript
if [ "${node:-0}" -ge 20 ] && command -v npm >/dev/null; then
    mkdir -p "$example" && cp "$root"/examples/typescript/*.{json,ts} "$example/"
    [ -d "$example/node_modules" ] || npm --prefix "$example" install --silent --no-audit --no-fund --no-package-lock
else
    echo "skipped: the TypeScript example, which needs Node.js 20 or newer and npm"
    example=
fi

dir=$(mktemp -d)
pid=
finish() {
    [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT

# A port below those that Linux gives to outgoing connections; another one if somebody has it.
for attempt in 1 2 3 4 5; do
    port=$((22000 + (RANDOM + attempt * 997) % 9000))
    "$server" --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' --loadmodule "$module" >"$dir/log" 2>&1 &
    pid=$!
    for _ in {1..300}; do
        kill -0 "$pid" 2>/dev/null || break
        if grep -q 'Ready to accept connections' "$dir/log"; then
            failed=0
            for program in redis_py.py metrics.py; do
                "$python" "$here/$program" --port "$port" || failed=1
            done
            if [ -n "$example" ]; then
                LLMCACHE_URL=redis://127.0.0.1:$port npm --prefix "$example" --silent test || failed=1
                LLMCACHE_URL=redis://127.0.0.1:$port npm --prefix "$example" --silent start || failed=1
            fi
            exit $failed
        fi
        sleep 0.1
    done
    grep -q 'Address already in use' "$dir/log" || break
done
echo "the server does not start:" >&2
tail -n 40 "$dir/log" >&2
exit 1
