# make demo       installs into .venv and runs the main job on a public corpus
# make test       installs what the tests need, then runs ruff, mypy and pytest
# make docs       writes docs/api.md from the docstrings
# make contracts  tests lossaudit against the real annotation servers; installs 2 GB the first time
# make torture    kills audits, fills their disks and corrupts their files; five minutes on two CPUs
# make matrix     tests the oldest and newest supported dependencies in fresh environments; half an hour on two CPUs
# make bench      installs the peers and measures all of them against the PyTorch loop; half an hour on two CPUs

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint docs contracts torture matrix bench clean

demo: .venv/installed-demo
	$(BIN)/lossaudit demo

test: lint
	$(BIN)/python -m pytest

contracts: .venv/installed-test
	LOSSAUDIT_CONTRACTS=1 $(BIN)/python -m pytest tests/contracts

torture: .venv/installed-test
	$(BIN)/python -m tests.torture

matrix: .venv/installed-matrix
	$(BIN)/python -m tests.matrix

bench: .venv/installed-bench
	$(BIN)/python -m bench.speed.run --model distilbert-base --data ag_news --rows 1200 --repeats 3 -o bench/results

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/installed-test
	$(BIN)/python -m tests.api_reference

.venv/installed-demo: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "lossaudit needs Python 3.11 or newer"; exit 1; }
	test -d .venv || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[demo]'
	touch $@

# torch is installed first, pinned, so that no other package pulls in another build of it.
.venv/installed-test: .venv/installed-demo
	$(PIP) torch
	$(PIP) --editable '.[demo,dev]'
	touch $@

.venv/installed-matrix: .venv/installed-demo
	$(PIP) uv
	touch $@

.venv/installed-bench: .venv/installed-demo
	$(PIP) torch
	$(PIP) --editable '.[bench]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
