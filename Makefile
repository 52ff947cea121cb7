# Two commands do everything on a machine that has only Python (3.11 or later) and make:
#   make run     serves examples/flask_app.py on http://127.0.0.1:8000 through the bridge
#   make test    runs the tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto --dist loadfile
SERVER ?= uvicorn
PORT ?= 8000

.PHONY: run demo test test-all check bench clean

run: $(VENV)/.run
	$(BIN)/bridge serve examples.flask_app:app --host 127.0.0.1 --port 8000

# Open pages of the shop hold streams that never end; at the end the servers wait for them no longer than 3 seconds.
DEMO_uvicorn := uvicorn --port $(PORT) --timeout-graceful-shutdown 3
DEMO_gunicorn := gunicorn --bind 127.0.0.1:$(PORT) --worker-class gthread --threads 8 --graceful-timeout 3

# The shop of examples/migration on an ASGI server; with SERVER=gunicorn, on a WSGI server.
demo: $(VENV)/.demo
	$(BIN)/$(or $(DEMO_$(SERVER)),$(error SERVER is uvicorn or gunicorn, not '$(SERVER)')) examples.migration.site:app

test: $(VENV)/.test
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The same tests on each supported Python that this machine has.
test-all:
	@set -e; for version in 3.11 3.12 3.13; do \
		python=$$(sh .ci/find-python $$version) || { echo "Python $$version: not on this machine"; continue; }; \
		echo "Python $$version: $$python"; \
		$(MAKE) --no-print-directory test PYTHON=$$python VENV=.venv-$$version; \
	done

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks

# A stamp per set of packages: it is made again when pyproject.toml changes.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[serve]' flask
	touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[serve,websocket]' flask flask-sock fastapi
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[serve,websocket]' --group test
	$(BIN)/python -m pip install --quiet --no-deps 'httpbin>=0.10.2'
	touch $@ $(VENV)/.run $(VENV)/.demo

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[serve,websocket]' --group bench
	$(BIN)/python -m pip install --quiet --no-deps 'httpbin>=0.10.2'
	touch $@ $(VENV)/.test $(VENV)/.run $(VENV)/.demo

clean:
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache
