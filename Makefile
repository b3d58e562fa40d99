# SPDX-License-Identifier: Apache-2.0
# Each verb does its own set-up: it needs make, gcc and CPython 3.10 or newer, and leaves everything in .venv and build.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PYTHON_VENV := $(BIN)/python
ENVS := $(VENV)/envs
JOBS := $(shell nproc)
PYTEST := $(PYTHON_VENV) -m pytest
C_FILES = $(shell find src/core tests/core benchmarks -name '*.[ch]')
C_VARIANTS := check asan tsan hooks

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 8

demo: build $(ENVS)/demo ## Simulate, train and serve a policy: the main job
	$(PYTHON_VENV) examples/simulate_train_serve.py $(ARGS)

build: $(ENVS)/test ## Compile the core, in place
	$(PYTHON_VENV) setup.py --quiet build_ext --inplace

debug: $(ENVS)/test ## Compile the core with all its checks, for a debugger
	SHOAL_CHECK=2 $(PYTHON_VENV) setup.py --quiet build_ext --inplace

test: build ## The test suite: C programs and Python (ARGS="..." for pytest)
	$(PYTEST) $(ARGS)

bench: build $(ENVS)/bench ## All benchmarks beside the peers, with a table and a picture
	$(PYTHON_VENV) benchmarks/run.py $(ARGS)

compare: build $(ENVS)/bench ## Rows beside those of an earlier revision: make compare BEFORE=v0.1 (ARGS="--row ...")
	$(PYTHON_VENV) benchmarks/compare.py $(BEFORE) $(ARGS)

growth: build $(ENVS)/bench ## What a task costs as the node grows: workers, queue, live objects
	$(PYTHON_VENV) benchmarks/growth.py $(ARGS)

docs: build $(ENVS)/docs ## The API reference, from docstrings, in build/api
	$(PYTHON_VENV) -W error::UserWarning -m pdoc --output-directory build/api $(shell cat docs/public_modules.txt)

check: $(ENVS)/dev ## Linters, formatters, types, and C under -Werror
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	scripts/typecheck $(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(MAKE) --silent -C tests/core -j $(JOBS) VARIANT=release
	$(MAKE) --silent -C tests/core -j $(JOBS) VARIANT=check

format: $(ENVS)/dev ## Put all sources into the form that check asks for
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

chaos: build ## Faults by the thousand: kills, Ctrl-C, forks (at most an hour; ARGS="-k NAME", SHOAL_SEED=n)
	SHOAL_LONG=1 $(PYTEST) -m "" --capture=fd -rs tests/chaos $(ARGS)

san: build ## Sanitizers and the full crash harness (long)
	for variant in $(C_VARIANTS); do SHOAL_C_VARIANT=$$variant $(PYTEST) -m "" tests/core/test_c_programs.py; done
	scripts/under_asan $(PYTEST) -m "" --timeout 900 --ignore tests/core/test_c_programs.py $(ARGS)

prove: build ## Every interleaving of the lock-free core, then mutants of it (hours)
	$(PYTEST) -m slow -s tests/core/test_explore.py $(ARGS)
	$(PYTHON_VENV) tests/core/mutate.py --thorough --report tests/core/mutants.md

compat: build ## Public libraries that use Ray, unmodified, each in an environment of its own (ARGS=NAME)
	$(PYTHON_VENV) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/compat .
	$(PYTHON_VENV) tests/compat/run_programs.py build/compat $(ARGS)

wheel: $(ENVS)/dev ## A repaired wheel in dist/ for each CPython 3.10-3.13 found
	scripts/wheels $(VENV)

clean: ## Remove all that was built, not the environment
	rm -rf build dist src/*.egg-info src/core/*.so src/core/_node.pyi
	find src tests benchmarks examples -name __pycache__ -prune -exec rm -rf {} +

$(PYTHON_VENV):
	scripts/make_venv $(VENV)

# What [build-system] of pyproject.toml asks for, here because an in-place build has no isolation to fetch it.
$(ENVS)/build: pyproject.toml | $(PYTHON_VENV)
	$(PYTHON_VENV) -m pip install --quiet 'setuptools>=77' 'cython>=3.1'
	@mkdir -p $(@D) && touch $@

# One environment per extra of pyproject.toml, all in the same .venv; the project itself is editable.
$(ENVS)/%: $(ENVS)/build
	$(PYTHON_VENV) -m pip install --quiet --no-build-isolation --editable '.[$*]'
	@touch $@

.PRECIOUS: $(ENVS)/%
.PHONY: help demo build debug test bench compare growth docs check format chaos san prove compat wheel clean
