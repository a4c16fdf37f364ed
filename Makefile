# Everything a newcomer types. `make run` starts the exchange, `make test` proves it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/lock-$(shell cat requirements-dev.txt pyproject.toml | sha256sum | cut -c1-16)
ARGS ?=
# What Python compiled once is kept, whatever the shell says: tests begin twice as soon.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup compile run test check format bench faults archive sweep wheel lock clean

help:  ## what can be typed
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP)  ## build .venv from the hash-locked file (nothing to do when it is current)

$(STAMP):
	@if ! $(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "Python 3.11 or newer with its venv module is wanted: on Debian, apt-get install python3 python3-venv" >&2; \
	  exit 1; fi
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	@echo "setting up .venv from requirements-dev.txt (about a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
	  --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --config-settings editable_mode=compat --editable .
	@rm -f .venv/lock-*
	@touch $@

compile: setup  ## compile the hot modules with mypyc where a C compiler is (LOGBOURSE_PURE=1: not)
	@$(BIN)/python -m native.compiling

run: compile  ## start Kafka, Redis, shards, projections, APIs and bots; Ctrl-C stops everything
	@$(BIN)/logbourse run $(ARGS)

# 5 is pytest's status where ARGS select nothing of one half.
test: compile  ## every test, the real Kafka, Redis and ClickHouse included
	@none=0; \
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not integration and not slow" $(ARGS) \
	  || { none=$$?; [ $$none = 5 ]; }; \
	$(BIN)/python -m pytest -m "integration or slow" $(ARGS) || [ $$?$$none = 50 ]

# Tests make and remove thousands of small files: where memory has a gigabyte for them, there.
IN_MEMORY = $$(test "$$(df --output=avail /dev/shm 2>/dev/null | tail -n 1)" -ge 1000000 2>/dev/null \
  && echo /dev/shm || echo "$${TMPDIR:-/tmp}")

check: setup  ## format, lint, strict types, import contracts, tidy and unit tests
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@folder=$$(mktemp -d -p $(IN_MEMORY)); trap "rm -rf $$folder" EXIT; \
	TMPDIR=$$folder $(BIN)/python -m pytest -q -n 5 --dist worksteal \
	  -m "not integration and not slow" --hypothesis-profile quick $(ARGS)

format: setup  ## rewrite the sources as ruff wants them
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: compile  ## measure, and write docs/benchmarks.md, docs/benchmarks.json and docs/plots
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
	  --require-hashes -r requirements-bench.txt
	@$(BIN)/logbourse bench --record $(ARGS)

faults: compile  ## break real processes under load: make faults ARGS="F1 F6 --runs 5" (ARGS=--list)
	@$(BIN)/python -m tests.faults $(ARGS)

archive: compile  ## keep the log of a short day for later builds: make archive ARGS=0.1.0
	@$(BIN)/python -m tests.archived.record $(ARGS)

sweep: compile  ## any number of seeded crash schedules: make sweep ARGS="--seeds 100000"
	@$(BIN)/logbourse simulate $(ARGS)

wheel: setup  ## build a wheel into dist/, compiled where a C compiler is, and try it
	@$(BIN)/python -m tests.native.wheel

lock: setup  ## resolve pyproject.toml anew into the hash-locked files (needs uv)
	@uv pip compile pyproject.toml --extra dev --python-version 3.11 --generate-hashes \
	  --no-annotate --no-header --quiet --output-file requirements-dev.txt
	@uv pip compile pyproject.toml --constraint requirements-dev.txt --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header --quiet --output-file requirements.txt
	@uv pip compile pyproject.toml --extra bench --constraint requirements-dev.txt --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header --quiet --output-file requirements-bench.txt

clean:  ## forget all data of the local stack, and all builds (the downloaded jars stay)
	@if [ -e .data/lock ]; then flock --nonblock .data/lock rm -rf .data || \
	  { echo ".data must not be in use, a stack runs on it: stop it first" >&2; exit 1; }; fi
	@rm -rf .data build dist
