# Set-up, run and test; each target does what it needs first. Everything goes into .venv in this folder.
PYTHON ?= python3
BIN := .venv/bin
BUILT := .venv/.built
TEST_ARGS ?=
BENCH_ARGS ?=

.PHONY: run setup test bench lint clean

# The pipeline on this machine, with a stream of demo sessions; Ctrl-C drains it and ends.
run: setup
	$(BIN)/headrace up --demo

setup: $(BUILT)

# A folder that was left half-way, or whose Python is gone, is made anew: what has no pip that can be imported.
SOUND := $(BIN)/python -c 'import pip' >/dev/null 2>&1
ANEW := $(shell $(SOUND) || echo anew)
.PHONY: anew
anew:

.venv/.locked: requirements.lock $(ANEW)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Needed: Python 3.11 or newer; '$(PYTHON)' says: $$($(PYTHON) -V 2>&1)." \
			"Another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(SOUND) || $(PYTHON) -m venv --clear .venv
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock; \
	else \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock; \
	fi
	touch $@

# pip refuses a local project in a hashed install, so the project itself comes second, with the build tools of the lock.
$(BUILT): .venv/.locked pyproject.toml setup.py $(wildcard _native/*.pyx _native/*.pxd _native/*.h)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest $(TEST_ARGS)

# Ours beside the straightforward reference on one real Kafka, in turn; quote the ratio. BENCH_ARGS: --rows, --rounds.
bench: setup
	$(BIN)/python -m headrace.bench --json .benchmarks/bench.json $(BENCH_ARGS)

clean:
	rm -rf .venv build dist *.egg-info _native/*.so _native/*.c
