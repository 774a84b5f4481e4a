# Each command sets up what it needs, and is quick the second time: `make run`, `make dagster`, `make test`.

PYTHON ?= python3
# Where torch comes from, if not PyPI: on Linux without a GPU, PyPI's torch brings gigabytes of CUDA libraries.
# make run TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Of the page that `make dagster` serves.
PORT ?= 3000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: run dagster test test-all lint bench clean

# The main job on the built-in demo graph; ends by naming the report it wrote.
run: $(VENV)/.core
	$(BIN)/rxweave run --kg demo --out data

# The same as assets in Dagster: open the page, press "Materialize all". Ends with Ctrl-C.
dagster: $(VENV)/.dagster
	@echo "The page: http://127.0.0.1:$(PORT)"
	DAGSTER_HOME="$(CURDIR)" PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dg dev --port $(PORT)

test: $(VENV)/.dev
	$(BIN)/pytest -q -n 2 --dist loadfile

# Slow, GPU and network tests too; each is skipped, visibly, where it cannot run.
test-all: $(VENV)/.dev
	$(BIN)/pytest -q -m ""

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Minutes: every attention implementation beside PyTorch Geometric, each in a process of its own.
bench: $(VENV)/.dev
	$(BIN)/rxweave benchmark speed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first: its version in constraints.txt decides which build every other package finds in place.
$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' constraints.txt)"
	$(PIP) -e .
	touch $@

$(VENV)/.dagster: $(VENV)/.core
	$(PIP) -e ".[dagster]"
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
