# `make run` and `make test` are the only two commands a newcomer needs; each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILED := build/compiled
FAULTS ?= 10000

.PHONY: run test check bench campaign compiled compiler lwip proofs clean

run: lwip $(VENV)/.core
	$(BIN)/capkernel tour

test: compiler lwip check

# Install a Debian package, if that may be done: $(call installed,TELL,PACKAGE).
APT := apt-get install -y -qq --no-install-recommends
installed = [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing $(1)" && \
	{ $(APT) $(2) || { apt-get update -qq && $(APT) $(2); }; } >/dev/null 2>&1

# A RISC-V compiler for the programs in C, where one may be installed; without one their tests say that they did not run.
compiler:
	@command -v riscv64-linux-gnu-gcc >/dev/null || command -v riscv64-unknown-elf-gcc >/dev/null || \
	{ $(call installed,a RISC-V compiler,gcc-riscv64-linux-gnu); } || \
	echo "there is no RISC-V compiler: the tests of programs in C will be skipped"

CROSS = $(patsubst %gcc,%,$(firstword $(shell command -v riscv64-linux-gnu-gcc riscv64-unknown-elf-gcc)))

# lwIP for the network servers, likewise. Its wrapper is compiled by pip, so what pip did before lwIP came is done again.
lwip:
	@[ -e /usr/include/lwip/lwip/init.h ] || \
	{ $(call installed,lwIP,liblwip-dev) && rm -f $(VENV)/.core $(VENV)/.dev; } || \
	echo "there is no lwIP (Debian's liblwip-dev): network servers will not run, and their tests will be skipped"

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python bench/kernel_size.py
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not campaign"
	$(BIN)/pytest -n 2 --dist worksteal -m "slow and not campaign"

bench: $(VENV)/.dev
	$(BIN)/python -m bench
	$(BIN)/python -m bench.riscv
	$(BIN)/python -m bench.storage
	$(BIN)/python -m bench.network
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.policies
	$(BIN)/python -m bench.remote

# Proofs are checked by z3, Spin and Coq, which are installed where they may be; what is not there says that it did not
# run (exit status 3), and the others are checked all the same.
proofs: $(VENV)/.dev
	@command -v coqc >/dev/null || { $(call installed,Coq,coq); } || true
	@command -v spin >/dev/null && command -v gcc >/dev/null || { $(call installed,Spin,spin gcc libc6-dev); } || true
	$(BIN)/python -m specs.proofs --z3; z3=$$?; $(BIN)/python -m specs.proofs --spin; spin=$$?; \
	$(BIN)/python -m specs.proofs && exit $$((z3 | spin))

# Full sweeps, an hour or more; stopped and called again they go on with the tests that have not passed yet.
campaign: compiler $(VENV)/.dev
	-[ -z "$(CROSS)" ] || $(MAKE) -C examples/c/pd CROSS=$(CROSS)
	$(BIN)/capkernel conform tests/golden
	$(BIN)/capkernel campaign --faults $(FAULTS) --workers 2
	$(BIN)/capkernel campaign --faults $(FAULTS) --workers 2 --corruption
	for contrast in storage console processes; do \
		$(BIN)/capkernel campaign --system $$contrast --faults $(FAULTS) --workers 2 --corruption || exit; done
	$(BIN)/capkernel refine --golden tests/golden --steps 10000000 --workers 2 --record build/refine.json
	$(BIN)/capkernel explore --record build/explore.json
	$(BIN)/capkernel fuzz --steps 1000000 --workers 2 --record build/fuzz.json
	$(BIN)/capkernel mutate --workers 2
	CAPKERNEL_CAMPAIGN=2000 $(BIN)/pytest --resume -n 2 --dist worksteal -m "campaign or not campaign"

# abi, kernel and invariants as C extensions, built beside the sources in a copy. On it run the recorded programs, the
# kernel's tests, and those that hold the compiled oracle against what is planted and against itself from scratch.
compiled: $(VENV)/.dev
	$(PIP) 'mypy[mypyc]' 'setuptools>=77'
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	cp -r capkernel hwmodel specs policies servers bench setup.py pyproject.toml README.md LICENSE $(COMPILED)/
	cd $(COMPILED) && CAPKERNEL_COMPILE=1 $(CURDIR)/$(BIN)/python setup.py --quiet build_ext --inplace
	cp -r tests $(COMPILED)/
	cd $(COMPILED) && PYTHONPATH=$(CURDIR)/$(COMPILED) $(CURDIR)/$(BIN)/python -m capkernel conform tests/golden
	cd $(COMPILED) && PYTHONPATH=$(CURDIR)/$(COMPILED) $(CURDIR)/$(BIN)/python -m pytest -n 2 tests/kernel tests/machines \
		tests/specs/test_look.py tests/specs/test_oracle_notices.py tests/fuzz/test_incremental.py tests/bugs

clean:
	rm -rf $(VENV) build *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The servers need a file system and a network; where those cannot be installed the core alone runs, and says so.
$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[servers]' || { echo "without what the servers need:"; $(PIP) -e .; }
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/.core
