# Everything runs from .venv in this checkout; no activated environment is needed.
# Stamp files remember what was installed, so that set-up runs again only when a lock or pyproject.toml changes.

PYTHON ?= python3
UV_VERSION ?= 0.13.9
# For example: make test PYTEST_ARGS="tests/unit -x"
PYTEST_ARGS ?=
# Over as many processes as there are processors; each starts emulators of its own, so not over too many.
TEST_PROCESSES ?= -n auto --maxprocesses 4 --dist loadfile

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test coverage lint format bench lock clean
.DELETE_ON_ERROR:

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Torpor needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing)." \
	       "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: requirements.lock pyproject.toml | $(STAMPS)/venv
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(STAMPS)/dev: requirements-dev.lock $(STAMPS)/runtime
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(STAMPS)/runtime ## Make .venv with what Torpor needs to run

setup-dev: $(STAMPS)/dev ## Make .venv with the tools for tests and checks as well

demo: setup ## Run the main job on the project's own sample
	$(BIN)/torpor demo

test: setup-dev ## Run the tests
	$(BIN)/python -m pytest $(TEST_PROCESSES) $(PYTEST_ARGS)

# The other tests run for minutes against real servers, where counting lines takes half as long again.
coverage: setup-dev ## Run the unit tests, and show which lines they reach
	$(BIN)/python -m pytest tests/unit --cov

lint: setup-dev ## Check style, types and the rooms' import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict app bench workers
	$(BIN)/lint-imports --no-logo --no-cache

format: setup-dev ## Mend style where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev ## Measure throughput and cost beside a floor without an engine
	$(BIN)/python -m bench firestore
	$(BIN)/python -m bench sql
	$(BIN)/python -m bench catalog

# uv resolves for every platform and Python at once; it is needed for nothing else, so it has a venv of its own.
# To take newer releases: make lock LOCK_ARGS=--upgrade
LOCK_TOOL := build/lock-venv/bin/uv
LOCK_COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(LOCK_TOOL) pip compile --quiet --universal --generate-hashes \
  --python-version 3.11 --group build $(LOCK_ARGS)

$(LOCK_TOOL):
	$(PYTHON) -m venv build/lock-venv
	build/lock-venv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

lock: $(LOCK_TOOL) ## Resolve the dependencies of pyproject.toml into the two locks
	$(LOCK_COMPILE) pyproject.toml --output-file requirements.lock
	$(LOCK_COMPILE) --extra dev --extra gemini --constraint requirements.lock pyproject.toml --output-file requirements-dev.lock

clean: ## Remove .venv, caches and built files
	rm -rf $(VENV) .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
