#!/usr/bin/env bash
# Runs redis-server with redis.conf in the foreground, and shows what to try once it answers. Ctrl-C ends it.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${PORT:-6379}
server=${LLMCACHE_REDIS_SERVER:-redis-server}

if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    echo "run: port $port is taken, by another Redis perhaps. Choose another: make run PORT=$((port + 1))" >&2
    exit 1
fi

# PING and INFO over bash's own sockets: the server that answers must be the one that is started below.
answers() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return
    printf 'INFO server\r\nQUIT\r\n' >&3
    timeout 2 cat <&3 | tr -d '\r' | grep -qx "process_id:$1"
}

show() { # PID
    for _ in {1..600}; do
        kill -0 "$1" 2>/dev/null || return
        if (answers "$1") 2>/dev/null; then
            local cli="redis-cli"
            [ "$port" = 6379 ] || cli+=" -p $port"
            cat <<TEXT

  LLMCACHE is up on port $port. Try it in another terminal:

    $cli LLMCACHE.SET faq "What is Redis?" "An in-memory data store." MODEL gpt-4o COST 0.0021
    $cli LLMCACHE.GET faq "What is Redis?" MODEL gpt-4o
    $cli LLMCACHE.STATS faq

  Data stays in data/ (make clean keeps it). Ctrl-C ends the server.

TEXT
            return
        fi
        sleep 0.1
    done
    echo "run: the server has not answered on port $port for a minute; its log stands above" >&2
}

# Not a child of the server, which would wonder about it once it forks.
(show $$ &)
exec "$server" ./redis.conf --port "$port"
