# Every target makes .venv itself when it is missing or older than the pins.
.DEFAULT_GOAL := help
.PHONY: help demo dev stack test test-containers check bench picture format clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell for p in python3.11 python3.12 python3 python; do \
	  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null && echo $$p && break; \
	done)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "hawk_assets needs Python 3.11 or 3.12 (hawk-backtester has no wheel for other versions): install one, or say make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Making $(VENV) with $(PYTHON); this takes a minute or two the first time"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: install its venv package (on Debian: apt install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

demo: $(READY) ## backfill the whole history on the built-in sample market, or HAWK_MARKET_DATA
	@$(BIN)/hawk demo

dev: $(READY) ## the Dagster UI, daemon and one code location on http://127.0.0.1:3000
	@$(BIN)/hawk dev

stack: $(READY) ## all of production on loopback but its containers, with a bucket and a warehouse
	@$(BIN)/python -m hawk_assets_tests.stack

test: $(READY) ## the test suite
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

test-containers: $(READY) ## build the images and refresh through them; root, podman; 10 minutes
	@HAWK_TEST_CONTAINERS=1 $(BIN)/python -m pytest hawk_assets_tests/deployments/test_containers.py

check: $(READY) ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY) ## put the code in shape
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

bench: $(READY) ## wall, CPU and memory of backfill and refresh, split by cause
	@$(BIN)/python -m hawk_assets_tests.bench

picture: $(READY) ## take the README's picture of the asset graph anew; needs chromium
	@$(BIN)/python -m hawk_assets_tests.asset_graph

clean: ## remove the virtual environment and caches; .hawk (your data) stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
