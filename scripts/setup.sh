#!/usr/bin/env bash
# Makes a Debian or Ubuntu ready to build and test: installs what is missing, as root or through sudo. Where it can do
# neither, it says exactly what to install and fails. Where nothing is missing it does nothing.
#
#   scripts/setup.sh          to build and run
#   scripts/setup.sh python   to make virtual environments for the tests of clients, too
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; } # VERSION WANTED

# --- Rust: rustup's business, not a package manager's, since distributions carry older compilers.
want_rust=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
[ -x "$HOME/.cargo/bin/cargo" ] && PATH=$PATH:$HOME/.cargo/bin
have_rust=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
if ! command -v cargo >/dev/null || [ -z "$have_rust" ]; then
    say "there is no Rust toolchain (cargo). Install one, version $want_rust or newer, from https://rustup.rs :"
    say "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
    exit 1
fi
if ! at_least "$have_rust" "$want_rust"; then
    say "Rust $have_rust is too old, $want_rust or newer is needed: rustup update stable"
    exit 1
fi

# --- What each part needs.
server=${LLMCACHE_REDIS_SERVER:-redis-server}
server_version() { "$server" --version 2>/dev/null | sed -n 's/.* v=\([^ ]*\).*/\1/p'; }

# bindgen loads libclang while it builds, and looks in these places (and where LIBCLANG_PATH says).
has_libclang() {
    local dir
    for dir in ${LIBCLANG_PATH:+"$LIBCLANG_PATH"} /usr/lib/llvm-*/lib /usr/lib/*-linux-gnu /usr/lib64 /usr/lib /usr/local/lib; do
        compgen -G "$dir/libclang[.-]*so*" >/dev/null && return
    done
    [ "$(uname)" = Darwin ] # Xcode's tools carry one
}
# libclang parses C with the headers of its own that come beside it.
has_clang_headers() {
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
        compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null || [ "$(uname)" = Darwin ] ||
        [ -n "${LIBCLANG_PATH:-}" ]
}

missing=()
command -v make >/dev/null && command -v cc >/dev/null && [ -e /usr/include/stdio.h ] || [ "$(uname)" = Darwin ] || missing+=(build-essential)
has_libclang && has_clang_headers || missing+=(libclang-dev)
[ "${1:-}" != python ] || python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
new_server=
[ -n "${LLMCACHE_REDIS_SERVER:-}" ] || [ -n "$(server_version)" ] || { missing+=(redis-server); new_server=yes; }

install_line="apt-get install -y --no-install-recommends ${missing[*]:-}"

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        sudo "$@" # asks for the password
    fi
}

# Debian starts a service as soon as it is installed, and enables it for the next boot. A developer who wanted a binary
# did not ask for a server on port 6379: invoke-rc.d and systemd both ask policy-rc.d first, which says no meanwhile.
policy=/usr/sbin/policy-rc.d
installed_policy=
hold_services() {
    [ -n "$new_server" ] && [ ! -e "$policy" ] || return 0
    installed_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}
release_services() {
    [ -z "$installed_policy" ] || as_root rm -f "$policy"
    installed_policy=
}

if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        say "this is neither Debian nor Ubuntu, so please install by your own means what is missing:"
        say "    ${missing[*]}"
        say "(a C compiler and make; libclang with its headers; redis-server or valkey-server, 7.0 or newer)"
        exit 1
    fi
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && command -v sudo >/dev/null; }; then
        say "missing: ${missing[*]}. Neither root nor sudo is at hand; have an administrator run:"
        say "    apt-get update && $install_line"
        exit 1
    fi
    say "installing ${missing[*]}"
    trap release_services EXIT
    trap 'exit 1' INT TERM
    hold_services
    export DEBIAN_FRONTEND=noninteractive
    apt="env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120"
    # Lists that are old, or not there at all, name packages that the mirror no longer has.
    as_root $apt install -y --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        as_root $apt update
        as_root $apt install -y --no-install-recommends "${missing[@]}" >/dev/null
    } || {
        say "that failed; by hand it is: apt-get update && $install_line"
        exit 1
    }
    if [ -n "$installed_policy" ]; then
        if command -v systemctl >/dev/null; then
            as_root systemctl disable --quiet redis-server 2>/dev/null || true
        else
            as_root update-rc.d redis-server disable 2>/dev/null || true
        fi
        say "Debian's own redis service was neither started nor enabled (to have it after all: systemctl enable --now redis-server)"
    fi
    release_services
fi

version=$(server_version)
if ! at_least "${version:-0}" 7.0; then
    say "$server ${version:-cannot be run}: 7.0 or newer is needed. Newer packages: https://redis.io/docs/latest/operate/"
    say "or name another server's binary: LLMCACHE_REDIS_SERVER=/path/to/redis-server (valkey-server does as well)"
    exit 1
fi
