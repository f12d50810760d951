# fly64dask: `make demo` and `make test` do everything, from a bare Python to the result.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := cluster/requirements.lock
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help install demo test-fast test test-numeric docs figures bench check lint format lock clean

help:            ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:[^#]*##/\t/'

$(VENV)/.installed: $(LOCK) pyproject.toml
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "fly64dask needs Python 3.11 to 3.13, found %d.%d; choose one: make PYTHON=python3.12 ..." % v)'
	@echo "fly64dask: installing the locked packages into $(VENV), about 7 GB; it takes some minutes and prints nothing"
	"$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -c "import fly64dask.reconstruction.lsqml.steps.fused_steps"  # compiles them for this processor, once
	@touch $@

install: $(VENV)/.installed  ## make .venv with exactly the locked packages

demo: install    ## run the demo study on this machine; results and a page of them in runs/demo
	$(BIN)/python -m fly64dask run data/demo.toml --out runs/demo --report
	@echo "next: . $(BIN)/activate    # then fly64dask is a command of this shell"

# Hundreds of processes import the package: they find it compiled, whatever the shell says of bytecode.
test-fast test test-numeric: export PYTHONDONTWRITEBYTECODE :=

test-fast: install ## run the tests that start no process and no engine
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m "not (process or engine or cluster or browser or slurm or slow)"

# Three files at once on two cores: a quarter of their time is waiting, for Slurm and for processes that end.
test: install    ## run every test
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-numeric: install ## run the tests of numbers on the most common instructions alone
	ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Nehalem NUMBA_CPU_NAME=generic \
	NUMBA_CPU_FEATURES=+sse2 $(BIN)/python -m pytest \
		--numprocesses 2 --dist loadfile tests/reconstruction tests/metrics tests/scan tests/simulation

docs: install    ## build the documentation, running its tutorials; docs/_build/html/index.html
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --builder html docs docs/_build/html

figures: install ## make the pictures and tables of the documentation again (FIGURES="NAME ..." some; --list names them)
	$(BIN)/python scripts/make_figures.py $(FIGURES)

bench: install   ## measure against other ways; a table in .bench/bench.md (QUICK=1: small studies)
	$(BIN)/python scripts/bench/all_parts.py $(if $(QUICK),--quick)

lint: install    ## formatter, linter, types
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

check: lint test ## what must pass before a commit

format: install  ## let ruff rewrite the sources
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

lock: install    ## renew the lock file from pyproject.toml
	$(BIN)/python -m venv --clear $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet uv==$(UV_VERSION)
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra all --extra dev --extra docs --generate-hashes --upgrade \
		--no-header --no-emit-index-url --output-file $(LOCK) pyproject.toml

clean:           ## remove the environment and caches, keep runs/
	rm -rf $(VENV) docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
