# SPDX-License-Identifier: Apache-2.0
.DEFAULT_GOAL := help
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
KEEP ?= 0
COUNT ?= 1000000
# tests that start nothing run on all cores; those on real parts mostly wait: STACKS of them at a time, each with a Kafka and a PostgreSQL of its own
PURE := tests/unit tests/property
STACKS ?= 2

.PHONY: help setup demo test test-long fuzz lint schemas release-schemas bench requirements clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## make the virtual environment (.venv) from the pinned requirements

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --require-hashes requirements/dev.txt requirements/uv.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(READY)

demo: setup ## run the main job on an embedded Kafka and PostgreSQL (KEEP=1 leaves it up)
	$(BIN)/daicho demo $(if $(filter 1,$(KEEP)),--keep)

test: setup lint ## run the whole test suite, on the same embedded parts
	$(BIN)/pytest -n auto --dist worksteal $(PURE)
	$(BIN)/pytest -n $(STACKS) --dist loadfile --no-loadscope-reorder $(foreach folder,$(PURE),--ignore=$(folder))

test-long: setup ## run the crash, flood and property tests at full length
	DAICHO_TEST_LONG=1 $(BIN)/pytest

fuzz: setup ## send malformed items to every door (COUNT=1000000)
	DAICHO_FUZZ=$(COUNT) $(BIN)/pytest -s tests/e2e/hostile/test_fuzz.py

lint: setup ## check style, types and the arrows between folders
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

schemas: setup ## write schemas/ from the models
	$(BIN)/python -m libs.contracts.generate schemas
	$(BIN)/python schemas/openapi.py
	$(BIN)/python schemas/mapping.py
	$(BIN)/python -m libs.standards.schema schemas/standard

release-schemas: setup ## keep today's schemas as released: from then on a change may not break them
	$(BIN)/python -m libs.contracts.generate schemas --release

bench: setup ## measure each scenario against its floor, into build/bench/
	$(BIN)/python -m tests.benchmarks

requirements: setup ## pin the requirements anew, with hashes
	cd requirements
	../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make requirements" --output-file uv.txt uv.in
	for extra in dev inventory classification; do
		../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make requirements" --extra $$extra --output-file $$extra.txt ../pyproject.toml
	done

clean: ## remove what make wrote, but not the downloaded jars
	rm -rf build $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
