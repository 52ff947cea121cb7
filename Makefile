# On a machine that has only Python (3.11 or later) and make, each target installs what it needs into a virtual
# environment here; the versions are those of requirements/, whatever the day.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests wait for servers more than they compute: four at a time keep two processors busy.
PYTEST_ARGS ?= -n 4 --dist loadfile
SERVER ?= uvicorn
PORT ?= 8000
TIME ?= 600
EXAMPLES ?= 1000
VERSIONS := 3.11 3.12 3.13 3.14 3.15
# The files here are in UTF-8, whatever the locale says; from Python 3.15 on that is the default.
export PYTHONUTF8 := 1

.PHONY: help run demo test test-all test-newest test-oldest test-ray fuzz soak check bench bench-quick docs docs-serve dist dist-check lock clean

help:  ## this list
	@echo 'make TARGET, where TARGET is one of:'
	@sed -n 's/^\([a-z-]*\):.*  ## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r target what; do \
		printf '  %-12s %s\n' "$$target" "$$what"; \
	done

run: $(VENV)/.examples  ## serve examples/flask_app.py on http://127.0.0.1:8000 through the bridge
	$(BIN)/bridge serve examples.flask_app:app --host 127.0.0.1 --port 8000

# Open pages of the shop hold streams that never end; at the end the servers wait for them no longer than 3 seconds.
DEMO_uvicorn := -- --timeout-graceful-shutdown 3
DEMO_gunicorn := --threads 8 -- --graceful-timeout 3

demo: $(VENV)/.examples  ## serve the shop of examples/migration there; SERVER=gunicorn: on a WSGI server
	$(BIN)/bridge serve examples.migration.site:app --server $(SERVER) --port $(PORT) \
		$(or $(DEMO_$(SERVER)),$(error SERVER is uvicorn or gunicorn, not '$(SERVER)'))

test: $(VENV)/.test  ## run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all:  ## run the tests on each supported Python of this machine
	@set -e; for version in $(VERSIONS); do \
		python=$$(sh .ci/find-python $$version) || { echo "Python $$version: not on this machine"; continue; }; \
		echo "Python $$version: $$python"; \
		$(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$$version; \
	done

test-newest:  ## run the tests with the newest release of everything, as of today
	@$(MAKE) --no-print-directory test-resolved RESOLUTION=highest VENV=.venv-newest

test-oldest:  ## run the tests with the oldest that pyproject.toml allows, of all that it names
	@$(MAKE) --no-print-directory test-resolved RESOLUTION=lowest-direct VENV=.venv-oldest

test-ray:  ## run the tests of examples/ray_serve.py, with the newest Ray, on this machine
	@$(MAKE) --no-print-directory test-resolved RESOLUTION=highest VENV=.venv-ray GROUP=ray \
		PYTEST_ARGS=tests/examples/test_ray.py

# atheris draws where it can be had, for a seventh of TIME. Each round draws EXAMPLES others for each law; the first one
# goes through more orders of threads beside that. There is always one, and the last one begins before TIME is over: on
# two free processors it takes a few minutes, with the orders twice as many. Long tests are no hang here: to print all
# stacks while other threads run has ended a process.
fuzz: $(VENV)/.test  ## draw other requests, apps and orders of threads than make test does, for TIME=600 seconds; EXAMPLES=1000
	@set -e; end=$$(($$(date +%s) + $(TIME))); \
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --group fuzz; \
	if $(BIN)/python -c 'import atheris' 2>/dev/null; then $(BIN)/python -m tests.fuzz $$(($(TIME) / 40 + 1)); fi; \
	orders=$$(find tests -name 'test_*_orders.py'); \
	while :; do \
		FUZZ_EXAMPLES=$(EXAMPLES) MORE_PREEMPTIONS=1 $(BIN)/python -m pytest $(PYTEST_ARGS) --timeout 3600 \
			-o faulthandler_timeout=0 tests/fuzz $$orders; \
		[ $$(date +%s) -lt $$end ] || break; orders=; \
	done

# Resolved anew each time, into an environment that is made anew: uv takes seconds for it.
.PHONY: test-resolved
GROUP ?= test
test-resolved:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements/uv.txt
	$(BIN)/python -m uv pip install --quiet --python $(BIN)/python --refresh --resolution $(RESOLUTION) \
		--editable '.[serve,websocket,check,completion]' --group $(GROUP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.test  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --python-version $(lastword $(VERSIONS))
	$(BIN)/basedpyright --project pyproject.toml --pythonpath $(BIN)/python

bench: $(VENV)/.test  ## measure the adapters beside their peers, in one run, and draw it into docs/benchmarks
	$(BIN)/python -m benchmarks --output docs/benchmarks
	$(BIN)/python -m benchmarks.comparison

bench-quick: $(VENV)/.test  ## the same in two minutes, without verdicts and plots
	$(BIN)/python -m benchmarks --quick --only in-process --only servers

# SERVER has a default for another target: only what the command line says counts here.
SOAK := $(if $(SEED),--seed $(SEED)) $(if $(REQUESTS),--requests $(REQUESTS)) \
	$(if $(filter command line,$(origin SERVER)),--server $(SERVER))
soak: $(VENV)/.test  ## play random apps and clients on real servers; SEED=, REQUESTS= on each, SERVER=
	$(BIN)/python -m tests.soak $(SOAK)

# One resolution holds for all supported versions of Python, by markers; the smaller lock is a part of the larger one.
LOCK = $(BIN)/python -m uv pip compile --quiet --upgrade --universal --generate-hashes \
	--custom-compile-command 'make lock' --python-version $(firstword $(VERSIONS))
SITE := pyproject.toml --extra serve --extra websocket
docs: $(VENV)/.test  ## build the site of docs/ into build/site
	$(BIN)/mkdocs build --quiet

docs-serve: $(VENV)/.test  ## serve it on http://127.0.0.1:8001, built anew where a page is saved
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

dist: $(VENV)/.test  ## build what is released, the sdist and the wheel, into dist/
	rm -rf dist
	$(BIN)/python -m hatchling build

dist-check: dist  ## look at what is released, and try it in empty environments
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/python -m tests.distribution dist

lock: $(VENV)/bin/python  ## pin the newest releases in requirements/
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement requirements/uv.txt
	$(LOCK) $(SITE) --group test --output-file requirements/test.txt
	$(LOCK) $(SITE) --group examples --constraint requirements/test.txt --output-file requirements/examples.txt
	$(LOCK) --group pyproject.toml:lock --output-file requirements/uv.txt

clean:  ## remove what the targets made
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A stamp per lock; what the tests need holds what the examples need.
$(VENV)/.examples: requirements/examples.txt pyproject.toml | $(VENV)/bin/python
	.ci/install $(VENV) $<
	touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml | $(VENV)/bin/python
	.ci/install $(VENV) $<
	touch $@ $(VENV)/.examples
