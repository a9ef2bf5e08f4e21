# `make run` and `make test` are the only two commands a newcomer needs; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILED := build/compiled

.PHONY: run test check bench campaign compiled clean

run: $(VENV)/.core
	$(BIN)/capkernel tour

test: check

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python bench/kernel_size.py
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not campaign"
	$(BIN)/pytest -n 2 --dist worksteal -m "slow and not campaign"

bench: $(VENV)/.dev
	$(BIN)/python -m bench

# Full sweeps, an hour or more; stopped and called again they go on with the tests that have not passed yet.
campaign: $(VENV)/.dev
	$(BIN)/capkernel conform tests/golden
	CAPKERNEL_CAMPAIGN=2000 $(BIN)/pytest --resume -n 2 --dist worksteal -m "campaign or not campaign"

# abi and kernel as C extensions, built beside the sources in a copy; recorded programs and kernel tests run on it.
compiled: $(VENV)/.dev
	$(PIP) 'mypy[mypyc]' 'setuptools>=77'
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	cp -r capkernel hwmodel specs policies servers bench setup.py pyproject.toml README.md LICENSE $(COMPILED)/
	cd $(COMPILED) && CAPKERNEL_COMPILE=1 $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	cp -r tests $(COMPILED)/
	cd $(COMPILED) && PYTHONPATH=$(CURDIR)/$(COMPILED) $(CURDIR)/$(BIN)/python -m capkernel conform tests/golden
	cd $(COMPILED) && PYTHONPATH=$(CURDIR)/$(COMPILED) $(CURDIR)/$(BIN)/python -m pytest -n 2 tests/kernel tests/machines

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(PIP) -e .
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.core
