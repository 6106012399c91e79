# The two commands of a newcomer: make demo, make test. `make help` lists the rest.
# Another Python than python3: make demo PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DELETE_ON_ERROR:
.PHONY: help demo test lint types unit docs clean

help:
	@echo "make demo    install, convert the bundled model, hold a conversation with it"
	@echo "make test    install what tests need and run every check: lint, types, tests"
	@echo "make lint    ruff: rules and format"
	@echo "make types   mypy, strict; all but the tests"
	@echo "make unit    the tests that need no model file"
	@echo "make docs    make docs/cli.md and the README's recording anew (in a Unix terminal)"
	@echo "make clean   remove what checks and builds left here, but for $(VENV) and build/demo"

demo: $(VENV)/installed
	@$(BIN)/sus-local demo

test: lint types
	$(BIN)/python -m pytest --cov --cov-report=term

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed-dev
	$(BIN)/python tools/typecheck.py

unit: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto -m "not model and not slow"

docs: $(VENV)/installed-dev
	$(BIN)/python tools/cli_docs.py
	$(BIN)/python tools/record_demo.py

# Not build/demo: there lies the state of a training, hours of work.
clean:
	rm -rf build/typecheck build/lib build/bdist.* dist
	rm -rf .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A stamp a stage: what is installed is not installed again until pyproject.toml changes.
$(VENV)/installed: pyproject.toml | $(VENV)/pyvenv.cfg
	@echo "Installing sus-local; compiling llama.cpp takes some minutes the first time."
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml $(VENV)/installed
	$(PIP) install --quiet --editable ".[dev]"
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c "$$PYTHON_IS_NEW_ENOUGH"
	$(PYTHON) -m venv $(VENV)

define PYTHON_IS_NEW_ENOUGH
import sys
if sys.version_info < (3, 10):
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit("Python 3.10 or newer is needed, $(PYTHON) is " + found + ": make demo PYTHON=python3.12")
endef
export PYTHON_IS_NEW_ENOUGH
