# `make check` is what to run before a commit; scripts/test.sh is the whole, and what CI runs.
PYTHON ?= $(or $(MSSR_VENV),.venv)/bin/python
export OMP_NUM_THREADS = 1

.PHONY: check test coverage format

check:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	$(PYTHON) -m pytest -q -n 2 -m "not slow and not cluster"

test:
	$(PYTHON) -m pytest -q -n 2 -m "not cluster"
	$(PYTHON) -m pytest -q -m cluster

coverage:
	$(PYTHON) -m pytest -q -n 2 -m "not cluster" --cov --cov-report=term

format:
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .
