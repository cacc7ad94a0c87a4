# Two commands for a fresh machine: `make run` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export EMBEDDED ?= 1

.PHONY: help run test check bench faults clean clean-all manage
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/installed: requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed, and there is no $(PYTHON) here: install it, or name it with PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; this is $$($(PYTHON) -V). Name another with PYTHON=…"; exit 1; }
	@echo "Making a virtual environment in $(VENV) and installing requirements.txt (about a minute, once) …"
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: on Debian, apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

run: $(VENV)/installed ## The whole portal with the sandbox that plays Amazon, on this machine
	@exec $(BIN)/python -m portal.supervisor

test: $(VENV)/installed ## All tests, on an embedded PostgreSQL of their own
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/installed ## Style, types, the law of the rooms, migrations, deployment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m portal.embedded run $(BIN)/python manage.py makemigrations --check --dry-run
	tests/check_deploy.sh $(BIN)/python

manage: $(VENV)/installed ## A management command on the embedded database: make manage ARGS="…"
	@$(BIN)/python -m portal.embedded run $(BIN)/python manage.py $(ARGS)

clean: ## Stop what runs and remove the demonstration's data
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m portal.embedded remove; fi
	@rm -rf "$${DATA_DIR:-.data}"

clean-all: clean ## The same, and the virtual environment
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
