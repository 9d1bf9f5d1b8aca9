# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.set-up-to-run
SETUP := $(VENV)/.set-up

.PHONY: demo test coverage windows peers check bench docs site clean

demo: $(RUN)  ## train a real model under a plan and at a constant rate, over 3 seeds, and draw both
	$(BIN)/warmdown train examples/demo/plan.yaml --out runs/demo/train
	$(BIN)/warmdown compare examples/demo/plan.yaml examples/demo/constant.yaml --seeds 3 --out runs/demo/compare --report runs/demo/compare.png

test: $(SETUP)  ## the default tests, on every core
	$(BIN)/python -m pytest -n auto -m "not slow and not peers"

coverage: $(SETUP)  ## the default tests once more: what they run of each room, and whether that is enough
	$(BIN)/python -m pytest -n auto -m "not slow and not peers" -q --cov --cov-report=json:build/coverage.json
	$(BIN)/python -m tests.covered

windows: $(SETUP)  ## folders, files in use, signals and processes under the double of Windows
	mkdir -p runs
	PYTHONPATH="$(CURDIR)/tests/windows" $(BIN)/python -m pytest -n auto -m "not slow and not unix and not browser" --basetemp "runs/Tests für Windows" $(shell cat tests/windows/tests.txt)

peers: $(SETUP)  ## other libraries' trainers and factories with our names, over whole runs
	$(BIN)/python -m pytest -n auto -m peers

check: $(SETUP)  ## everything that continuous integration checks
	.ci/run

bench: $(SETUP)  ## every measurement, with the peers that are installed
	$(BIN)/python -m benchmarks

docs: $(SETUP)  ## what is generated: gallery, screenshots, tables, schema
	$(BIN)/python -m docs.generate

site: $(SETUP)  ## the documentation site, to build/site; a warning is an error, and the network is not needed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(RUN): pyproject.toml constraints.txt  # what the demo needs, and nothing of the checks
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[demo]"
	touch $@

$(SETUP): $(RUN) requirements-peers.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps -r requirements-peers.txt
	.ci/install-browser
	touch $@

clean:  ## forget the environment and every run
	rm -rf $(VENV) runs build dist
