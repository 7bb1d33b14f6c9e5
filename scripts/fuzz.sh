#!/usr/bin/env bash
# The long runs of the fuzz targets: SECONDS-FOR-EACH [OPTION-OF-LIBFUZZER...]. FUZZ names some of them, or all are run;
# SANITIZER is one of cargo-fuzz's, which needs a nightly Rust, or none, which does not.
set -euo pipefail
cd "$(dirname "$0")/.."
limit=$1
shift
sanitizer=${SANITIZER:-none}

say() { printf 'fuzz: %s\n' "$*" >&2; }
if ! cargo fuzz --version >/dev/null 2>&1; then
    say "there is no cargo-fuzz. Install it (any stable Rust will do, and a C++ compiler) and run this again:"
    say "    cargo install cargo-fuzz"
    exit 1
fi
if ! command -v c++ >/dev/null; then
    say "there is no C++ compiler, and libFuzzer is C++. Install one: apt-get install -y --no-install-recommends g++"
    exit 1
fi
cargo=(cargo)
if [ "$sanitizer" != none ]; then
    if ! cargo +nightly --version >/dev/null 2>&1; then
        say "the $sanitizer sanitizer needs a nightly Rust: rustup toolchain install nightly"
        exit 1
    fi
    cargo+=(+nightly)
fi

# What it begins with is made in code; what it finds worth keeping comes to lie beside it.
LLMCACHE_CORPUS=$PWD/fuzz/corpus cargo test -q --no-default-features --test core_fuzz -- --ignored --exact write_corpus

failed=
for target in ${FUZZ:-$(cargo fuzz list)}; do
    printf '\n=== %s, %d s\n' "$target" "$limit"
    options=(-max_total_time="$limit" -timeout=20 -rss_limit_mb=4096 -max_len=8192 -print_final_stats=1)
    [ ! -s "fuzz/corpus/$target.dict" ] || options+=(-dict="fuzz/corpus/$target.dict")
    "${cargo[@]}" fuzz run -s "$sanitizer" "$target" "fuzz/corpus/$target" -- "${options[@]}" "$@" 2>&1 |
        grep -v -e '^#[0-9].*\(REDUCE\|NEW\|RELOAD\|pulse\)' -e '^#### *Recommended\|^"\\.*# Uses' || failed+=" $target"
done
[ -z "$failed" ] || { say "something was found in:$failed (fuzz/artifacts)"; exit 1; }
