#!/usr/bin/env bash
# Runs end-to-end tests with servers under valgrind's memcheck, and fails where the module reads or writes what it must not,
# goes by what nobody has written, or loses memory for good. Without arguments these are the unit tests of the core, and a
# session of some thousand operations by chance, at whose end the server is stopped, so that what is lost is seen as well.
#
#   scripts/valgrind.sh payloads            other tests, by a part of their names; they may be too slow for their deadlines
#   LLMCACHE_SOAK_OPERATIONS=20000           how many operations
#   LLMCACHE_SEED=1                         the same game again
#   LLMCACHE_SO, LLMCACHE_REDIS_SERVER      another module, another server
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'valgrind: %s\n' "$*" >&2; }
command -v valgrind >/dev/null || { say "there is none. Install it: apt-get install valgrind"; exit 1; }
server=$(command -v "${LLMCACHE_REDIS_SERVER:-redis-server}") || { say "there is no server. Run make setup"; exit 1; }

# Valgrind puts its own functions in place of an allocator's. That needs an allocator in a library of its own: Debian's and
# Ubuntu's servers have jemalloc in one, and a server that is built with MALLOC=libc has that of the C library.
if "$server" --version | grep -q malloc=jemalloc && ! ldd "$server" | grep -q jemalloc; then
    say "$server has jemalloc within itself, where valgrind does not see what is allocated. Take the server of Debian or"
    say "Ubuntu (apt-get install redis-server), or one that is built with MALLOC=libc"
    exit 1
fi

checks=(--leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --num-callers=40)
if [ $# = 0 ]; then
    host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
    env "CARGO_TARGET_${host}_RUNNER=valgrind --error-exitcode=9 ${checks[*]}" \
        "${CARGO:-cargo}" test --release --no-default-features --lib -- --test-threads 1
fi

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# It becomes the server's process, so whoever ends that one ends what he has started.
cat >"$out/redis-server" <<END
#!/usr/bin/env bash
[ "\${1:-}" = --version ] && exec "$server" "\$@"
exec valgrind ${checks[*]} --fair-sched=yes \\
    --keep-debuginfo=yes --soname-synonyms=somalloc='*jemalloc*' --suppressions="$PWD/scripts/valgrind.supp" \\
    --log-file="$out/%p.log" "$server" "\$@"
END
chmod +x "$out/redis-server"

failed=0
export LLMCACHE_REDIS_SERVER=$out/redis-server LLMCACHE_SOAK_OPERATIONS=${LLMCACHE_SOAK_OPERATIONS:-20000}
"${CARGO:-cargo}" test --no-default-features --features e2e --test e2e -- --test-threads 1 --nocapture \
    "${@:-nothing_is_left_of_fifty}" || failed=1

# Paragraphs of the reports. Those in which the module has no part are the server's own.
found=$(sed 's/^==[0-9]*== \{0,1\}//' "$out"/*.log |
    awk 'BEGIN { RS = "" } /llmcache|zstd|ZSTD|ZDICT/ && !/^Command:|^Memcheck/ { print $0 "\n" }')
{ grep -h 'total heap usage\|definitely lost:' "$out"/*.log || true; } | sed 's/^==[0-9]*== */valgrind: /'
printf 'valgrind: reports on the module: %s\n' "${found:-none}"
if [ $# = 0 ] && ! grep -q 'total heap usage: [0-9][0-9,]\{6,\} allocs' "$out"/*.log; then
    say "it has hardly seen anything allocated, so it could not have found anything"
    exit 1
fi
[ -z "$found" ] && [ "$failed" = 0 ]
