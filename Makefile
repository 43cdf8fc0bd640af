# What one does here, in a few words: `make help`. Needs make, git, and Python 3.11 or later with its venv module;
# everything else goes to .venv, from the versions in constraints.txt.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-flyte test-airflow test-orchestrators test-clouds test-page page-tools lint types format crds docs site bench bench-recovery bench-rechunk simulate cluster e2e image lock clean upstream dist

VENV := .venv
BIN := $(VENV)/bin
FLYTE := .venv-flyte
RELEASE := .venv-release
CLOUDS := .clouds
PAGE := .page
AXE := 4.14.1
READY := $(VENV)/.ready
SIZE ?= 1G
BENCH ?=
E2E ?=
SCHEDULES ?= 100000
SEED ?= 0
WITHOUT ?=
PYTEST ?=
EXPECT ?=
TAG ?= dev
COMPILE = $(BIN)/pip-compile - --quiet --no-header --strip-extras --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-emit-options --allow-unsafe
LOCKED := --constraint constraints.txt --no-annotate --output-file -
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

help: ## Show this list
	@sed -nE 's/^([a-z0-9-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

setup: $(READY) ## Make .venv with everything in it (quick when it is there)
	@:

$(READY): requirements-development.txt pyproject.toml tools/python.sh
	@[ -x $(BIN)/pip ] || { python=$$(tools/python.sh) && echo "Setting up $(VENV) with $$($$python --version), which takes a minute or two ..." && "$$python" -m venv --clear $(VENV); }
	@$(PIP) install --require-hashes --requirement requirements-development.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Run a real job on about 1 GB of made-up events (SIZE=100M: less)
	@$(BIN)/python examples/demo/make_events.py --size $(SIZE) demo/events
	@$(BIN)/shuffle run examples/demo/events-by-user.yaml

test: $(READY) ## Run the tests, on all cores (PYTEST="tests/join -x": some of them)
	@$(BIN)/pytest --numprocesses auto --dist worksteal $(PYTEST)

test-flyte: $(FLYTE)/.ready ## Run the tests of the Flyte plugin, in an environment of their own
	@PYTHONPATH=$(CURDIR) $(FLYTE)/bin/pytest tests/flyte $(PYTEST)

test-airflow: .venv-airflow/.ready ## Run the tests of the Airflow operator, in an environment of their own
	@PYTHONPATH=$(CURDIR) .venv-airflow/bin/pytest tests/airflow $(PYTEST)

test-orchestrators: .venv-orchestrators/.ready ## Run the examples for Prefect, Dagster and hera, in an environment of their own
	@PYTHONPATH=$(CURDIR) .venv-orchestrators/bin/pytest tests/orchestrators $(PYTEST)

test-clouds: $(READY) $(CLOUDS)/.ready ## Run the tests over Google's and Azure's protocols, against servers on this machine (needs npm)
	@PYTHONPATH=$(CURDIR)/$(CLOUDS)/python AZURITE=$(CURDIR)/$(CLOUDS)/node_modules/.bin/azurite-blob \
		$(BIN)/pytest tests/conformance/test_cloud_storages.py tests/storage/test_clouds.py $(PYTEST)

upstream: $(READY) ## Run the tests against pre-releases of what the project is built on (PYTEST="tests/arrays": some)
	@$(BIN)/python tools/upstream/run.py $(PYTEST)

test-page: $(READY) $(PAGE)/.ready ## Run the tests of the page, in the Chromium that this machine has (needs npm)
	@$(BIN)/pytest tests/page $(PYTEST)

page-tools: $(PAGE)/.ready
	@:

$(PAGE)/.ready: | $(READY)
	@npm install --silent --no-fund --no-audit --prefix $(PAGE) axe-core@$(AXE) || echo "npm cannot install axe-core: its tests are skipped"
	@mkdir -p $(PAGE) && touch $@

$(CLOUDS)/.ready: constraints-clouds.txt | $(READY)
	@$(PIP) install --no-deps --upgrade --target $(CLOUDS)/python --requirement constraints-clouds.txt
	@npm install --silent --no-fund --no-audit --prefix $(CLOUDS) azurite || echo "npm cannot install Azurite: its tests are skipped"
	@touch $@

.venv-%/.ready: constraints-%.txt pyproject.toml tools/python.sh
	@python=$$(tools/python.sh --below 3.13) && { [ -x $(@D)/bin/pip ] || "$$python" -m venv --clear $(@D); }
	@$(@D)/bin/python -m pip --quiet --disable-pip-version-check install --requirement constraints-$*.txt
	@PIP_CONSTRAINT=$(CURDIR)/constraints-$*.txt $(@D)/bin/python -m pip --quiet --disable-pip-version-check \
		install --no-deps --editable .
	@touch $@

lint: $(READY) ## Check style, format, and that imports point downwards
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-cache >$(VENV)/layers.txt || { cat $(VENV)/layers.txt; exit 1; }
	@$(BIN)/python tools/circles.py

types: $(READY) ## Check types
	@$(BIN)/mypy

format: $(READY) ## Put the code in format
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

crds: $(READY) ## Generate crds/, the chart's copy and docs/reference/shufflejob.md from the models
	@$(BIN)/python -m shuffle_operator.api.generate .

docs: crds ## Generate the references, the functions' page and the pictures, and check the links between pages
	@$(BIN)/python tools/references.py
	@$(BIN)/python tools/function_table.py
	@$(BIN)/python tools/pictures.py
	@$(BIN)/python tools/check_links.py

site: $(READY) ## Build the documentation site in build/site (python tools/site.py --serve: look at it while you write)
	@$(BIN)/python tools/site.py

bench: $(READY) ## Compare with Dask, Polars and DuckDB (BENCH="--size 3_375_000": less)
	@$(BIN)/python -m benchmarks.run $(BENCH)

bench-recovery: $(READY) ## What a lost worker costs: kill one of four, at several moments (BENCH="--size 6_750_000": less)
	@$(BIN)/python -m benchmarks.recovery $(BENCH)

bench-rechunk: $(READY) ## Compare rechunk with Dask, rechunker and Cubed (BENCH="--size full": what is reported)
	@$(BIN)/python -m benchmarks.rechunk $(BENCH)

simulate: $(READY) ## Run whole jobs under random faults (SEED=123 SCHEDULES=1: one with its trace; WITHOUT=dedupe: a guard off)
	@$(BIN)/python -m tests.simulation.scenario $(SEED) $(SCHEDULES) --without "$(WITHOUT)"

cluster: $(READY) ## Make a real Kubernetes cluster on this machine, with S3 and the image, and leave it up
	@$(BIN)/python -m e2e.harness.make

e2e: $(READY) ## Run everything on a real cluster: KUBECONFIG's, or a local one (E2E="-m core": the few that matter most)
	@$(BIN)/pytest e2e -v --durations=0 $(E2E)

dist: $(RELEASE)/.ready ## Make all that a release consists of in dist/, and try it (EXPECT=v1.2.3: it must be this one)
	@$(RELEASE)/bin/python tools/release/dist.py --expect "$(EXPECT)"
	@if docker info >/dev/null 2>&1; then $(MAKE) --no-print-directory image-contents; else echo "no docker here: no image"; fi

image: $(RELEASE)/.ready ## Build the container image shuffle-operator:dev (TAG=...) with docker, of the wheel in dist/ or a new one
	@ls dist/*.whl >/dev/null 2>&1 || $(RELEASE)/bin/python -m hatchling build --target wheel >/dev/null
	@docker build --tag shuffle-operator:$(TAG) .

image-contents: image
	@rm -rf build/image && mkdir -p build/image && id=$$(docker create shuffle-operator:$(TAG)) \
		&& docker export "$$id" | tar -x -C build/image --exclude='dev/*' && docker rm "$$id" >/dev/null
	@$(RELEASE)/bin/python tools/release/dist.py --image build/image

$(RELEASE)/.ready: requirements-release.txt tools/python.sh
	@python=$$(tools/python.sh) && { [ -x $(RELEASE)/bin/pip ] || "$$python" -m venv --clear $(RELEASE); }
	@$(RELEASE)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements-release.txt
	@touch $@

lock: $(READY) ## Work the locked versions and their hashes out again after a change of pyproject.toml
	@$(PIP) install pip-tools
	@$(BIN)/python tools/requirements.py | $(COMPILE) --output-file constraints.txt
	@$(BIN)/python tools/requirements.py --clouds | $(COMPILE) --constraint constraints.txt --output-file constraints-clouds.txt
	@for of in flyte airflow orchestrators; do $(BIN)/python tools/requirements.py --$$of \
		| $(COMPILE) --constraint constraints.txt --output-file constraints-$$of.txt; done
	@sed -i '/^$$/d; /^# /d' constraints*.txt
	@$(BIN)/python tools/requirements.py | $(COMPILE) $(LOCKED) | $(BIN)/python tools/hashes.py requirements-development.txt
	@$(BIN)/python tools/requirements.py --image | $(COMPILE) $(LOCKED) | $(BIN)/python tools/hashes.py requirements-image.txt
	@$(BIN)/python tools/requirements.py --release | $(COMPILE) $(LOCKED) | $(BIN)/python tools/hashes.py requirements-release.txt

clean: ## Remove what the other targets made
	@rm -rf $(VENV) $(FLYTE) .venv-airflow .venv-orchestrators $(CLOUDS) $(PAGE) demo dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis $(RELEASE) .venv-upstream
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
