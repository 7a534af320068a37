PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --requirement

# What is stored, matched and answered, without servers, browsers and other programs.
RULES := $(addprefix tests/test_, $(addsuffix .py, pythons values forms records every_value none_and_damage \
  no_merging_by_nothing matching weak_keys formers bookings placeholders older_rules sequence roads nights engine \
  answers lists options what_is_kept weight growth exports rejects))

.PHONY: run test rules lint bench chaos

run: $(VENV)/installed  ## Serve at http://127.0.0.1:5082, on SQLite unless .env says otherwise
	@FLASK_SKIP_DOTENV=1 exec $(BIN)/flask --app app serve  # the program reads .env itself, and says what is wrong with it

test: $(VENV)/installed-dev  ## Run all tests
	@$(BIN)/python -m pytest $(ARGS)

rules: $(VENV)/installed-rules  ## Run the tests of the rules on SQLite (PYTHON=python3.13 VENV=.venv-3.13: on another Python)
	@HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest --quiet -k 'not postgresql and not mariadb' $(RULES)

lint: $(VENV)/installed-dev  ## Check style and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(BENCH)/installed  ## Measure the service beside raw SQL and other programs (ARGS=--quick: a trial)
	@$(BENCH)/bin/python -m bench $(ARGS)

chaos: $(VENV)/installed-dev  ## Kill the service and its databases under load, and check the books (ARGS="--minutes 20 --engine sqlite")
	@$(BIN)/python -m chaos $(ARGS)

$(VENV)/installed: requirements.txt
	@echo "Installing into $(VENV) ..."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@$(INSTALL) requirements-dev.txt
	@touch $@

$(VENV)/installed-rules: requirements-dev.txt $(VENV)/installed
	@$(BIN)/pip install --quiet --disable-pip-version-check $$(grep -E '^(pytest|hypothesis)==' requirements-dev.txt)
	@touch $@

# A program to compare with that cannot be installed is left out; the next call tries again.
$(BENCH)/installed: requirements.txt bench/requirements.txt
	@echo "Installing into $(BENCH) ..."
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@missing=; for peer in $$(grep -v '^#' bench/requirements.txt); do \
	  $(BENCH)/bin/pip install --quiet --disable-pip-version-check "$$peer" || missing="$$missing $$peer"; \
	done; if [ -n "$$missing" ]; then echo "Not installed:$$missing"; else touch $@; fi
