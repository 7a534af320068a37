PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --requirement

.PHONY: run test lint bench

run: $(VENV)/installed .env  ## Serve on SQLite at http://127.0.0.1:5082
	@$(BIN)/flask --app app db upgrade
	@exec $(BIN)/gunicorn app:app

test: $(VENV)/installed-dev  ## Run all tests
	@$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/installed-dev  ## Check style and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: $(VENV)/installed-dev  ## Measure a bulk against raw SQLite
	@$(BIN)/python bench/bulk.py

.env: | $(VENV)/installed
	@$(BIN)/python config.py

$(VENV)/installed: requirements.txt
	@echo "Installing into $(VENV) ..."
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(INSTALL) requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@$(INSTALL) requirements-dev.txt
	@touch $@
