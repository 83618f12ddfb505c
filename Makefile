# Every target makes .venv and installs what it needs; nothing else is required than Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CORES ?= 2
OUT ?= demo
DIST := .venv-dist
LOWEST := .venv-lowest

.PHONY: demo test test-lowest lint docs pages notebooks bench dist clean help
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 13

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "MadMiner needs Python >= 3.11; choose one with make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip

# pythia8mc carries the parton densities; taking a wheel avoids compiling Pythia
$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --only-binary pythia8mc -c constraints.txt -e '.[simulate]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --only-binary pythia8mc -c constraints.txt -e '.[simulate,delphes,shower,parquet,onnx,dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --only-binary pythia8mc -c constraints.txt -e '.[simulate,docs]'
	@touch $@

demo: $(VENV)/.demo ## the main job: from events to exclusion contours, report in demo/report.html
	$(BIN)/madminer demo --out $(OUT)

test: lint ## checks and tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(CORES) --dist loadfile

# the lowest direct dependencies that pyproject.toml allows, as wheels (connection-pool, which
# snakemake needs, has none); torch stays where constraints.txt holds it, for its old builds are
# gigabytes. Old versions may warn
test-lowest: ## the tests with the oldest dependencies that are allowed
	rm -rf $(LOWEST)
	$(PYTHON) -m venv --upgrade-deps $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	grep '^torch' constraints.txt > $(LOWEST)/torch.txt
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		--only-binary :all: --no-binary madminer --no-binary connection-pool \
		-c $(LOWEST)/torch.txt '.[simulate,delphes,shower,parquet,onnx,dev]'
	OMP_NUM_THREADS=1 $(LOWEST)/bin/pytest -n $(CORES) --dist loadfile -o filterwarnings=default tests

lint: $(VENV)/.dev ## style, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs ## the documentation in docs/_build/html
	rm -rf docs/reference
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

pages: $(VENV)/.dev ## the outputs and figures of the pages of the documentation
	MADMINER_WRITE_PAGES=1 OMP_NUM_THREADS=1 $(BIN)/pytest -q docs README.md

notebooks: $(VENV)/.docs ## the tutorials as Jupyter notebooks in notebooks/; those that are there stay
	$(BIN)/python docs/notebooks.py notebooks $(ARGS)

bench: $(VENV)/.dev ## ratios to MadMiner 0.9.6, which gets an environment of its own, and steps of training
	$(BIN)/python benchmarks/run.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/steps.py

campaign: $(VENV)/.dev ## kill, fill and rewrite at random while files are saved; ARGS="--tries 20 model"
	OMP_NUM_THREADS=1 $(BIN)/python tests/campaign/campaign.py $(ARGS)

# the tests run in a folder elsewhere, so that only the installed wheel can be imported
dist: ## a wheel and a source archive in dist/; the tests of the archive run against the wheel
	rm -rf dist $(DIST)
	$(PYTHON) -m venv --upgrade-deps $(DIST)/build
	$(PYTHON) -m venv --upgrade-deps $(DIST)/clean
	$(DIST)/build/bin/python -m pip install --quiet build
	$(DIST)/build/bin/python -m build --outdir dist
	$(DIST)/clean/bin/python -m pip install --quiet --only-binary pythia8mc -c constraints.txt \
		"$$(echo dist/*.whl)[simulate,delphes,shower,parquet,onnx,dev]"
	bin='$(CURDIR)/$(DIST)/clean/bin' && folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	tar -xzf dist/*.tar.gz -C "$$folder" --strip-components 1 && cd "$$folder" && \
	"$$bin/python" -c 'import madminer as m, sys; print(m.__file__); assert sys.prefix in m.__file__' && \
	OMP_NUM_THREADS=1 "$$bin/pytest" -n $(CORES) --dist loadfile tests

clean: ## remove everything that the targets made
	rm -rf $(VENV) $(DIST) $(LOWEST) .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache docs/_build docs/reference dist build
