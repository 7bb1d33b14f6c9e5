# `make help` lists what there is.

# Where rustup puts cargo, for shells that have not been told yet.
export PATH := $(PATH):$(HOME)/.cargo/bin
export PORT ?= 6379

CARGO ?= cargo
# Servers, not cores, are what the end-to-end tests run out of.
E2E_THREADS ?= 6
TARGET := $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help setup setup-python build build-panics run test test-core test-e2e test-clients test-python fuzz soak valgrind lint fmt bench bench-memory bench-vectorset bench-scaling bench-similar bench-together bench-counting bench-eviction bench-big quality clean
# How long each target is fuzzed.
SECONDS ?= 60


help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PORT=6380                          another port for make run"
	@echo "  LLMCACHE_REDIS_SERVER=/path/to/it  another server (Redis 7.0 or newer, Valkey 8 or newer)"
	@echo "  ARGS='--quick'                     options for make bench and its siblings"

setup: ## install what is missing (Debian, Ubuntu), or say what that is
	@scripts/setup.sh

setup-python: setup
	@scripts/setup.sh python

build: setup ## the module: target/release/libllmcache.so
	$(CARGO) build --release

run: build ## a Redis with the module in the foreground, and three commands to try
	@scripts/run.sh

test: test-core test-e2e test-clients test-python ## all tests: the core alone, the module in real servers, clients of other languages

test-core: setup ## the core and the syntax, without a server
	$(CARGO) test --no-default-features

build-panics: setup
	$(CARGO) build --features panics
	mkdir -p $(TARGET)/panics && cp $(TARGET)/debug/libllmcache.so $(TARGET)/panics/

test-e2e: build build-panics ## the module in real servers, which it starts and ends itself
	$(CARGO) test --no-default-features --features e2e --test e2e -- --test-threads $(E2E_THREADS) --skip ::alone::
	$(CARGO) test --no-default-features --features e2e --test e2e -- --test-threads 1 ::alone::

test-clients: build setup-python ## the commands through redis-py and from TypeScript, and the figures through Prometheus' parser
	tests/clients/run.sh

test-python: build setup-python ## the Python client and its adapters: ruff, mypy and tests
	scripts/python.sh

soak: build ## a million operations by chance, after each 100,000 of which nothing may be left (some minutes)
	$(CARGO) test --no-default-features --features e2e --test e2e -- --ignored --nocapture nothing_is_left_of_a_million

valgrind: build ## a session under valgrind: what the module reads, writes and loses (needs valgrind)
	scripts/valgrind.sh

fuzz: setup ## fuzz targets with cargo-fuzz, each for SECONDS=60 (FUZZ='wire glob' for some, ARGS for libFuzzer, SANITIZER=address)
	@FUZZ="$(FUZZ)" SANITIZER="$(SANITIZER)" scripts/fuzz.sh $(SECONDS) $(ARGS)

lint: setup ## rustfmt and clippy, warnings denied
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --no-default-features --features e2e --all-targets -- -D warnings
	$(CARGO) clippy --lib -- -D warnings

fmt: ## format the code
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml

bench: build ## against plain SET and GET on one server (ARGS=--quick for a first look, here and below)
	$(CARGO) bench --no-default-features --features e2e --bench plain_redis -- $(ARGS)

bench-memory: build ## bytes of 1,000 answers: plain strings, caches, a vector set beside strings
	$(CARGO) bench --no-default-features --features e2e --bench memory -- $(ARGS)

bench-vectorset: build ## similar hits and stores against a vector set and strings (ARGS='--server /path/to/redis-8')
	$(CARGO) bench --no-default-features --features e2e --bench vectorset -- $(ARGS)

bench-scaling: build ## 1,000 to 1,000,000 entries: GET, SET, memory, similar hits
	$(CARGO) bench --no-default-features --features e2e --bench scaling -- $(ARGS)

bench-similar: build ## similar lookups at 1,000 to 100,000 entries, and what others notice (ARGS='--sizes 1000000')
	$(CARGO) bench --no-default-features --features e2e --bench similar -- $(ARGS)

bench-together: build ## what FETCH costs beside GET, and how soon those who wait have their answer
	$(CARGO) bench --no-default-features --features e2e --bench together -- $(ARGS)

bench-counting: build ## what counting costs: GET of this module and of one that counts nothing
	$(CARGO) build --release --features uncounted --target-dir target/uncounted
	$(CARGO) bench --no-default-features --features e2e --bench counting -- $(ARGS)

bench-eviction: setup ## who should go: the policies of EVICT on traces, beside what nobody can beat (ARGS=--quick; no server)
	$(CARGO) bench --no-default-features --bench eviction -- $(ARGS)

bench-big: build ## how long a million entries keep others waiting (ARGS=--quick for 100,000)
	$(CARGO) bench --no-default-features --features e2e --bench big -- $(ARGS)

quality: build ## precision and recall of similar hits, and the guards, on labelled prompts (ARGS=--all)
	$(CARGO) bench --no-default-features --features e2e --bench quality -- $(ARGS)

clean: ## remove what was built (data/ stays)
	$(CARGO) clean
