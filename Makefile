# Everything here makes its own .venv and needs nothing beforehand but Python 3.11+, pip and make.
PYTHON ?= python3
SECONDS ?= 0
FAULTS ?= 300
SEED ?= 1
# Tests mostly wait for other processes, so more of them run at a time than there are cores.
JOBS ?= 3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test test-stack check fuzz bench bench-links bench-whip chaos format clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [SECONDS=20]  run cameras, gateway, store and worker on this machine; people get detected"
	@echo "make test [ARGS=...]    run the tests, JOBS=3 at a time (ARGS go to pytest)"
	@echo "make test-stack         build the image and run the real compose stack through faults (needs Docker)"
	@echo "make check              lint, types, import rules"
	@echo "make fuzz [SECONDS=60]  fuzz every parser that faces the network, so long each, led by coverage"
	@echo "make bench              measure the hot paths against plain loops"
	@echo "make bench-links        real agents on emulated thin links beside a fixed rate and stock aiortc, and the cases of"
	@echo "                        RFC 8867 (needs root, hours; ARGS='--only 1-mbit --seeds 1', goes on with --json FILE)"
	@echo "make bench-whip         WHIP: clients, bad links, CPU, leaks, fuzz, RFC 9725, beside stock aiortc (ARGS=--quick)"
	@echo "make chaos [FAULTS=300 SEED=1]  kill, pause, cut and fill parts of a whole system; then audit every frame"
	@echo "make format             let ruff format the code"
	@echo "make clean              remove .venv and caches"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fishladder needs Python 3.11 or later, this is " + sys.version.split()[0] + "; set PYTHON=python3.x")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]' --group dev
	@touch $@

demo: $(READY)
	@$(BIN)/fishladder demo --seconds $(SECONDS)

# Whole systems that wait for each other run beside others that do the same, on whatever machine this is: what fails there
# is run again by itself, and fails if it does so then.
test: $(READY)
	@tests/system-packages
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS) || { test $$? = 1 && \
		echo "these failed beside others; again, by themselves:" && \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none --maxfail 3 -v $(ARGS); }

test-stack: $(READY)
	@$(BIN)/python -m pytest tests/compose -s $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group fuzz
	@$(BIN)/python tests/fuzz/run.py --seconds $(or $(filter-out 0,$(SECONDS)),60) $(ARGS)

bench: $(READY)
	@$(BIN)/python tests/bench/run.py $(ARGS)

chaos: $(READY)
	@$(BIN)/python tests/chaos/run.py --faults $(FAULTS) --seed $(SEED)

bench-links: $(READY)
	@$(BIN)/python tests/bench/thin_link.py $(ARGS)

bench-whip: $(READY)
	@$(BIN)/python tests/bench/run.py --suite whip $(ARGS)

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
