PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BENCH := .venv-bench
MUTANTS := .venv-mutants
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --requirement

# What is stored, matched and answered, without servers, browsers and other programs.
RULES := $(addprefix tests/test_, $(addsuffix .py, pythons values forms records every_value none_and_damage \
  no_merging_by_nothing matching weak_keys formers bookings placeholders older_rules sequence roads nights engine \
  answers lists options what_is_kept weight growth exports rejects))

# What speaks HTTP to the application, or to a service that tests/live.py starts. Left out is what is about gunicorn, starts
# another server, or hardly asks anything.
ON_GUNICORN := $(addprefix tests/test_, $(addsuffix .py, backups linux one_file readme scaling serving windows))
HTTP = $(filter-out $(ON_GUNICORN), \
  $(shell grep -lE '\bHttp\b|\btest_client\b|\bimport live\b|from live import' tests/test_*.py))

# An environment of an older Python would be kept, and lack the packages' versions for ever.
export NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and \
  "Python 3.11 or newer is needed, and this is %d.%d. If there is another: make run PYTHON=python3.13" % sys.version_info[:2])

.PHONY: run backup restore test rules waitress lint bench scaling chaos mutants

run: $(VENV)/installed  ## Serve at http://127.0.0.1:5082, on SQLite unless .env says otherwise
	@FLASK_SKIP_DOTENV=1 exec $(BIN)/flask --app app serve  # the program reads .env itself, and says what is wrong with it

backup: $(VENV)/installed  ## Copy the SQLite file while the service runs (ARGS="--keep 14": remove older copies)
	@FLASK_SKIP_DOTENV=1 $(BIN)/flask --app app backup $(ARGS)

restore: $(VENV)/installed  ## Put a copy in the place of the SQLite file, after the service was stopped (FILE=the copy)
	@FLASK_SKIP_DOTENV=1 $(BIN)/flask --app app restore "$(FILE)"

test: $(VENV)/installed-dev  ## Run all tests
	@$(BIN)/python -m pytest $(ARGS)

rules: $(VENV)/installed-rules  ## Run the tests of the rules on SQLite (PYTHON=python3.13 VENV=.venv-3.13: on another Python)
	@HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest --quiet -k 'not postgresql and not mariadb' $(RULES)

waitress: $(VENV)/installed-dev  ## Run the tests of HTTP on SQLite and the server of Windows; services run in a Python that lacks what Windows lacks
	@HTTP_SERVER=waitress HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest --quiet \
	  -k 'not postgresql and not mariadb and not schemathesis' $(HTTP)

lint: $(VENV)/installed-dev  ## Check style and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(BENCH)/installed  ## Measure the service beside raw SQL and other programs (ARGS=--quick: a trial)
	@$(BENCH)/bin/python -m bench $(ARGS)

scaling: $(VENV)/installed-dev  ## Measure workers, services, nodes and settings of durability beside each other (ARGS=--quick)
	@$(BIN)/python -m bench.scaling $(ARGS)

chaos: $(VENV)/installed-dev  ## Kill the service and its databases under load, and check the books (ARGS="--minutes 20 --engine sqlite")
	@$(BIN)/python -m chaos $(ARGS)

mutants: $(MUTANTS)/installed  ## Change the code in one place at a time, and see whether a test fails (FILE=engine/match.py COUNT=50 SEED=7)
	@$(MUTANTS)/bin/python -m mutants $(addprefix --file=,$(FILE)) $(addprefix --count=,$(COUNT)) $(addprefix --seed=,$(SEED))

$(VENV)/installed: requirements.txt
	@echo "Installing into $(VENV) ..."
	@test -x $(BIN)/pip || $(PYTHON) -c "$$NEW_ENOUGH"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@$(INSTALL) requirements-dev.txt
	@touch $@

$(VENV)/installed-rules: requirements-dev.txt $(VENV)/installed
	@$(BIN)/pip install --quiet --disable-pip-version-check $$(grep -E '^(pytest|hypothesis|waitress)==' requirements-dev.txt)
	@touch $@

$(MUTANTS)/installed: requirements.txt requirements-dev.txt mutants/requirements.txt
	@echo "Installing into $(MUTANTS) ..."
	@test -x $(MUTANTS)/bin/python || $(PYTHON) -m venv $(MUTANTS)
	@$(MUTANTS)/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt \
	  --requirement mutants/requirements.txt $$(grep -E '^(pytest|hypothesis|PyMySQL|requests|jsonschema_rs|openapi-spec-validator)==' requirements-dev.txt)
	@touch $@

# A program to compare with that cannot be installed is left out; the next call tries again.
$(BENCH)/installed: requirements.txt bench/requirements.txt
	@echo "Installing into $(BENCH) ..."
	@test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@missing=; for peer in $$(grep -v '^#' bench/requirements.txt); do \
	  $(BENCH)/bin/pip install --quiet --disable-pip-version-check "$$peer" || missing="$$missing $$peer"; \
	done; if [ -n "$$missing" ]; then echo "Not installed:$$missing"; else touch $@; fi
