# make demo   set up, then run the quick start        make lint    ruff and pyright
# make test   set up, then run the tests              make clean   remove the environment
# make slow   those that take long                        make audit   known faults of the dependencies
# make failures    those that break something on purpose: minutes each

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow failures lint format setup clean constraints audit

demo: setup
	$(BIN)/crawl2chat run recipes/tiny.yaml

# Two at a time, file by file; those marked `slow` or `failure` are targets of their own. Ray would start its workers at a low priority.
PYTEST = RAY_worker_niceness=0 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations 20
test: setup
	$(PYTEST) -m "not slow and not failure" tests

slow: setup
	$(PYTEST) -m slow tests

failures: setup
	$(PYTEST) -m failure tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(VENV)/installed

# The files are whole (--no-deps), and pip takes no byte but what they have the hash of. Build tools: setuptools of them.
PINNED := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps
$(VENV)/installed: pyproject.toml requirements.txt requirements-cpu.txt requirements-gpu.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "python3.11 or newer is needed: apt-get install python3.11 python3.11-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV) (some two minutes)"
	@# torch's build for CPUs where pip is shown one, else the one for GPUs with all its libraries
	$(PINNED) -r requirements-cpu.txt 2> /dev/null || $(PINNED) -r requirements-gpu.txt
	$(PINNED) -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# After a dependency changed: pin anew what is new. With ARGS=--upgrade all of it, to the newest versions.
UV_VERSION := 0.13.9
constraints:
	rm -rf .venv-pin && $(PYTHON) -m venv .venv-pin
	.venv-pin/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	.venv-pin/bin/python .ci/pins.py .venv-pin/bin/uv $(ARGS)
	rm -rf .venv-pin

# Strict: a package that the database does not answer for is a failure, and so is a database that cannot be reached.
AUDIT_VERSION := 2.10.1
audit:
	rm -rf .venv-audit && $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check pip-audit==$(AUDIT_VERSION)
	.venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off \
		-r requirements.txt -r requirements-gpu.txt -r requirements-dev.txt
	rm -rf .venv-audit

clean:
	rm -rf $(VENV) .venv-pin .venv-audit build dist *.egg-info
