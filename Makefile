# make demo    set up .venv, train the digits network, say where everything lies
# make test    the same set-up, then all tests
# make check   format, lint, types, import contracts: what CI runs before the tests
# ENV=folder takes another virtual environment, PYTHON=program another Python (3.11 or newer).

SHELL  := /bin/bash
ENV    ?= .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN    := $(abspath $(ENV))/bin
# The set-up is done when this file exists: its name changes with what would be installed.
STAMP  := $(ENV)/.weft-$(shell cat pyproject.toml constraints.txt | cksum | cut -d' ' -f1)
PIP    := $(BIN)/python -m pip --disable-pip-version-check $(if $(CI),-q)
TYPED  := -m weft $(foreach room,spec compiler runtime server cli,-p weft.$(room))

.PHONY: demo test quick check fix bench fuzz zoo docs snapshots setup clean

demo: setup
	@$(BIN)/weft train examples/digits/digits.weft
	@echo
	@$(BIN)/weft compile examples/digits/digits.weft

test: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q $(TESTS)

quick: setup
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q -m 'not slow' $(TESTS)

check: setup
	@mkdir -p .typing && ln -sfn .. .typing/weft
	@echo 'format:    ruff format'  && $(BIN)/ruff format --check .
	@echo 'lint:      ruff check'   && $(BIN)/ruff check .
	@echo 'types:     mypy'         && $(BIN)/python -m mypy $(TYPED)
	@echo 'contracts: lint-imports' && $(BIN)/lint-imports

fix: setup
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: setup
	@$(BIN)/python benchmarks

fuzz: setup
	@$(BIN)/python tests/fuzz.py --seconds 300
	@$(BIN)/python -m tests.random_networks --seconds 300

zoo: setup
	@$(BIN)/python -m tests.zoo kernels
	@$(BIN)/python -m pytest -n 2 --dist worksteal -q --sweep tests/laws tests/runtime/test_crosscompile.py -k compile

docs: setup
	@$(BIN)/python docs/errors_page.py
	@$(BIN)/python docs/zoo_page.py

snapshots: setup
	@WEFT_SNAPSHOTS=write $(BIN)/python -m pytest -q -m snapshot

setup: $(STAMP)

$(STAMP):
	@test -n '$(PYTHON)' || { echo 'weft needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11'; exit 1; }
	@test -x $(BIN)/python || { echo 'setting up $(ENV) with $(PYTHON)'; $(PYTHON) -m venv $(ENV); } \
		|| { echo 'no virtual environment: on Debian and Ubuntu, `apt install python3-venv`'; rm -rf $(ENV); exit 1; }
	@echo 'installing torch (once)'
	@$(PIP) install -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	@echo 'installing weft and its pinned dependencies (once)'
	@$(PIP) install -c constraints.txt 'setuptools>=77'
	@$(PIP) install -c constraints.txt --no-build-isolation -e '.[digits,image,plot,tensorboard,text,dev]'
	@rm -f $(ENV)/.weft-* && touch $(STAMP)

clean:
	rm -rf $(ENV) .typing build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
