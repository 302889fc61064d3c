# Two commands to begin with: make demo, make test.
.DEFAULT_GOAL := help
.PHONY: help setup demo up bundle test test-faults soak lint type bench replays pictures schemas lock clean

PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
# More processes than most machines here have cores: much of the time is spent waiting for brokers. tests/beside.py hands out.
THREE := -n 3 --dist loadfile --no-loadscope-reorder
TWO := -n 2 --dist loadfile --no-loadscope-reorder
BREAK = KILLS=$(or $(KILLS),20) $(BIN)/python -m pytest -q tests/faults tests/integration
# The CPU build of torch: from the directory that pip is told of, if any, else from where torch publishes it.
TORCH := $(if $(PIP_FIND_LINKS),UV_FIND_LINKS="$(PIP_FIND_LINKS)",UV_TORCH_BACKEND=cpu)

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/dev ## make the environment in .venv, with everything for development
demo: bundle ## train towers, start a broker and a worker, and steer real feeds
	@$(BIN)/ctrlrec demo
up: bundle ## the demo, and then stay up for your own requests (ctrlrec ask)
	@$(BIN)/ctrlrec demo --stay
bundle: var/bundle/manifest.json ## train and export a bundle of MovieLens, unless there is one
test: .venv/dev ## unit, property and integration tests, three at once (PYTEST=... for some)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(or $(PYTEST),-m "not faults" tests/unit tests/integration $(THREE) -q)
test-faults: .venv/dev ## break the broker and the worker, and tell what became of every input (KILLS=2 for some)
	@$(BREAK) -m "faults and alone"
	@$(BREAK) -m "faults and not alone" $(TWO)
soak: .venv/dev bundle ## a quarter of an hour of load and kills (MINUTES=15)
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),15)
lint: .venv/dev ## style
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
type: .venv/dev ## types
	@$(BIN)/mypy
bench: .venv/dev bundle ## one line a figure, and var/bench.json; fails where a bound is missed (BENCH=--no-bounds)
	@$(BIN)/python -m tests.bench $(BENCH)
replays: .venv/dev bundle ## replay a long log and a recorded live run (LISTS=1000000 EVENTS=20000 for the full size)
	@$(BIN)/python -m tests.bench.replayscale --lists $(or $(LISTS),50000)
	@EVENTS=$(or $(EVENTS),2000) $(BIN)/python -m pytest -q -rs tests/integration/test_replays.py
pictures: .venv/dev ## draw the dashboards from a real Prometheus into docs/img (some minutes)
	@$(BIN)/python -m tests.pictures
schemas: .venv/dev ## write docs/schemas anew: AsyncAPI and JSON Schema, from the structs
	@$(BIN)/python -m streams.schemas
lock: .venv/dev ## pin the newest versions that pyproject.toml allows
	@PATH=$(BIN):$$PATH UV_FIND_LINKS="$(PIP_FIND_LINKS)" constraints/lock
clean: ## remove the environment and everything that was made
	rm -rf .venv var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

var/bundle/manifest.json: | .venv/demo
	@$(BIN)/ctrlrec data
	@$(BIN)/ctrlrec train
	@$(BIN)/ctrlrec export

.venv/tools: constraints/tools.txt
	@echo "Making the environment in .venv"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints/tools.txt
	@touch $@
.venv/demo .venv/dev: .venv/%: constraints/%.txt pyproject.toml | .venv/tools
	@echo "Installing what constraints/$*.txt pins"
	@$(UV) --require-hashes --no-deps -r constraints/$*.txt
	@$(TORCH) $(UV) torch==2.13.0
	@$(UV) --no-deps --no-build-isolation --editable .
	@touch $@
