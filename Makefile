# Two commands for a fresh machine: `make run` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
# The distribution's own Python, built with all optimizations (pyenv's is not, and takes a third longer), or the first that is new enough
# and can make a virtual environment; else python3, of which it is then said what it lacks.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; exit; }; done; echo python3)
export EMBEDDED ?= 1
# Compiled code is kept whatever the shell says: many processes start here, and each would compile all of it anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test check bench faults fleet screenshots manage clean clean-all
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

# `make run` needs no more than the first part of requirements.txt; what is below its line "Tests and checks" is most of the packages' weight.
install = $(BIN)/python -m pip install -qq --no-compile --disable-pip-version-check -r $(1) || { echo "The packages of requirements.txt could not be installed (see above): is the network there, and room on the disk?"; exit 1; }

$(VENV)/installed: requirements.txt
	@python='$(PYTHON)'; command -v "$$python" >/dev/null || { echo "Python 3.11 or newer is needed, and there is no $$python here: install it, or name it with PYTHON=…"; exit 1; }; \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; this is $$("$$python" -V). Name another with PYTHON=…"; exit 1; }; \
	echo "Making a virtual environment in $(VENV) with $$python and installing the portal's part of requirements.txt (half a minute, once) …"; \
	"$$python" -m venv $(VENV) || { echo "Python's venv module is missing, or $(VENV) cannot be written: on Debian, apt-get install python3-venv"; exit 1; }
	@sed '/^# Tests and checks/,$$d' requirements.txt > $(VENV)/portal.txt
	@$(call install,$(VENV)/portal.txt)
	@touch $@

$(VENV)/tested: $(VENV)/installed
	@echo "Installing what tests and checks need besides (half a minute, once) …"
	@$(call install,requirements.txt)
	@touch $@

run: $(VENV)/installed ## The whole portal with the sandbox that plays Amazon, on this machine
	@exec $(BIN)/python -m portal.supervisor run --under-make

test: $(VENV)/tested ## All tests but those of make faults, on an embedded PostgreSQL of their own
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/faults $(ARGS)

check: $(VENV)/tested ## Style, types, the law of the rooms, migrations, deployment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python -m portal.embedded run $(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.production manage.py check --deploy --fail-level WARNING

BENCH ?= delivery readings sns import skill
bench: $(VENV)/tested ## Speeds and memory beside a floor measured in the same run (needs nginx; BENCH=one of them)
	@$(BIN)/python -m tests.bench $(BENCH) -- $(ARGS)

faults: $(VENV)/tested ## Real processes killed on purpose: workers, the web, the bridge
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/faults $(ARGS)

FLEET ?= 1000x30x600
fleet: $(VENV)/tested ## 1,000 faulty units, 30 days, 10 minutes, over HTTP and then over MQTT (FLEET=units x days x seconds)
	@FLEET=$(FLEET) $(BIN)/python -m pytest -s tests/faults/test_simulated_fleet.py tests/faults/test_simulated_fleet_mqtt.py $(ARGS)

screenshots: $(VENV)/tested ## New pictures for the README
	@mkdir -p .data/screenshots && SCREENSHOTS=.data/screenshots $(BIN)/python -m pytest -q tests/test_the_loop.py -k chromium && \
	cp .data/screenshots/sandbox.png .data/screenshots/device.png tests/browser/screenshots/

manage: $(VENV)/installed ## A management command on the embedded database: make manage ARGS="…"
	@$(BIN)/python -m portal.embedded run $(BIN)/python manage.py $(ARGS)

clean: ## Stop what runs and remove the demonstration's data
	@if [ -e $(VENV)/installed ]; then $(BIN)/python -m portal.supervisor clean; \
	elif [ -z "$$DATA_DIR" ]; then rm -rf .data; \
	else echo "There is no $(VENV) here that knows what is ours in $$DATA_DIR: remove that folder by hand."; exit 1; fi

clean-all: clean ## The same, and the virtual environment
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
