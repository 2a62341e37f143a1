# make demo             environment, built-in videos, training, evaluation, tracking, report
# make demo STEPS=200   the same with fewer training steps
# make test             environment, format, lint, types, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo

.PHONY: demo test format clean

demo: $(VENV)/.core
	$(BIN)/slotkeeper demo --out $(OUT) $(if $(STEPS),--steps $(STEPS)) $(if $(SEED),--seed $(SEED))

test: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest --numprocesses auto --dist loadfile

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) runs

# A stamp is newer than what it was made from, so nothing is installed twice.
$(VENV)/.core: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.core

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit("slotkeeper needs Python 3.11 or newer, got %d.%d; set PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "making the environment in $(VENV) (a few minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	touch $@
