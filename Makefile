# `make` alone lists the targets. All that is needed is make, Python 3.11 or later with venv and pip.

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2
ARGS    ?=

BIN     := $(VENV)/bin
PY      := $(BIN)/python
BUILD   := .build
# Whatever changes what the tests see. `make check` runs the tests again only if one of these is newer than the last run.
SOURCES := $(shell find src transports tests scripts examples protos docs benchmarks -type f -not -path '*/__pycache__/*' 2>/dev/null) \
           $(wildcard pyproject.toml README.md)

ENGINE_TESTS := $(addprefix tests/,vocabulary call http2 connection rpc)
# What runs again over the HTTP/2 that is not the default: what depends on it, without what runs over both by itself and
# what would take half a minute and is about calls. The rest is the work of the differential property.
H2_TESTS := tests/http2 tests/connection --ignore=tests/connection/test_duplex_table.py \
  --ignore=tests/connection/test_two_cores.py --ignore=tests/http2/test_strict_peer.py -k "not cut_at_every_byte"

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-floor check lint types imports coverage-states diagrams diagrams-check protos protos-check coverage gate \
        explore-nightly requirements requirements-check format clean peers interop planted mutants peers-table soak bench bench-engine \
        bench-docs

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# -- environments: made once, and again when pyproject.toml changes ----------------------------------------------------

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "duplexcore needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --editable '.[cli,trio]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(PY)
	$(PY) -m pip install --quiet --editable '.[dev]'
	@touch $(VENV)/.installed-demo $@

# protoc of the oldest protobuf that the project supports: newer ones make code that older runtimes refuse.
.venv-protos/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-protos
	@.venv-protos/bin/python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["protos"]))' \
	  > .venv-protos/requirements.txt
	.venv-protos/bin/python -m pip install --quiet --requirement .venv-protos/requirements.txt
	@touch $@

# The oldest release of each dependency that pyproject.toml allows.
.venv-floor/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-floor
	@printf '%s\n' 'h2==4.3.*' 'anyio==4.15.*' 'protobuf==5.29.*' 'click==8.1.*' 'rich==13.7.*' > .venv-floor/constraints.txt
	.venv-floor/bin/python -m pip install --quiet --constraint .venv-floor/constraints.txt --editable '.[dev]'
	@touch $@

# cosmic-ray is a program of its own: what it mutates is run by .venv.
.venv-mutants/.installed:
	$(PYTHON) -m venv .venv-mutants
	.venv-mutants/bin/python -m pip install --quiet 'cosmic-ray==8.*'
	@touch $@

# -- the two commands to begin with ------------------------------------------------------------------------------------

demo: $(VENV)/.installed-demo ## set up .venv and hold the duplex conversation (ARGS="--backend trio" and the like)
	@$(BIN)/duplexcore demo $(ARGS)

test: $(VENV)/.installed-dev ## set up .venv and run the tests, ten minutes on 2 cores (ARGS="-k GOAWAY")
	@rm -rf $(BUILD)/tested; mkdir -p $(BUILD)
	$(BIN)/pytest -n $(WORKERS) $(ARGS)
	$(if $(strip $(ARGS)),,$(BIN)/pytest -n $(WORKERS) --http2 h2 $(H2_TESTS))
	@$(if $(strip $(ARGS)),,touch $(BUILD)/tested)

test-floor: .venv-floor/.installed ## run the tests with the oldest dependencies that are supported
	.venv-floor/bin/pytest -n $(WORKERS) $(ARGS)

# -- other implementations ---------------------------------------------------------------------------------------------

PEERS := .peers

peers: $(VENV)/.installed-demo ## install the other Python implementations, each in an environment of its own below .peers
	$(BIN)/duplexcore interop peers --install python --dir $(PEERS)

interop: peers $(VENV)/.installed-dev ## every official interop case against them, both ways, plain and TLS; at most 4 minutes
	DUPLEXCORE_PEERS=$(PEERS) $(BIN)/pytest -m gate -n $(WORKERS) tests/interop_matrix tests/benchmarks $(ARGS)

peers-table: $(VENV)/.installed-dev ## run all peers, which must be installed, and write docs/peers.json and docs/peers.md; 5 minutes
	$(PY) -m scripts.peers $(ARGS)

# -- how fast it is ----------------------------------------------------------------------------------------------------

bench: $(VENV)/.installed-dev ## measure duplexcore beside the others in one interleaved run (ARGS="--quick", ARGS="--help")
	DUPLEXCORE_PEERS=$(abspath $(PEERS)) $(PY) -m benchmarks run $(ARGS)

bench-engine: $(VENV)/.installed-dev ## the engine in memory: CPU time and memory of a call and of a message; half a minute
	@mkdir -p $(BUILD)
	$(PY) -m benchmarks engine --seconds 0.1 --json $(BUILD)/engine.json $(ARGS)

bench-docs: $(VENV)/.installed-dev ## put the figures of the last `make bench` into docs/performance.md
	$(PY) -m benchmarks report $(ARGS)

# -- how good the tests are --------------------------------------------------------------------------------------------

planted: $(VENV)/.installed-dev ## plant faults in copies of the engine: which the simulator finds, how soon (ARGS="NAME")
	$(PY) scripts/planted.py $(ARGS)

explore-nightly: $(VENV)/.installed-dev ## every interleaving of a call with two messages each way; 2 to 5 minutes, goes on where it was stopped
	@mkdir -p $(BUILD)
	$(BIN)/duplexcore fuzz explore --requests 2 --responses 2 --window 2 --feature all --resume $(BUILD)/explored $(ARGS)

mutants: .venv-mutants/.installed $(VENV)/.installed-dev ## mutation testing of the engine, 20 minutes (ARGS="--sample 300 --seed 1")
	.venv-mutants/bin/python scripts/mutants.py --python $(PY) --workers $(WORKERS) $(ARGS)

soak: $(VENV)/.installed-dev ## a mixed load for a minute: nothing lost, nothing leaked (ARGS="--seconds 600 --backend trio")
	$(PY) -m benchmarks.soak $(ARGS)

# -- the gate ----------------------------------------------------------------------------------------------------------

check: lint types imports diagrams-check protos-check coverage gate bench-engine requirements-check ## the whole gate; runs the tests first if they are not fresh
	@echo "make check: all good"

$(BUILD)/tested: $(SOURCES) | $(VENV)/.installed-dev
	$(MAKE) test ARGS=

lint: $(VENV)/.installed-dev ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## mypy --strict and pyright
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(PY)

imports: $(VENV)/.installed-dev ## which room may import which
	$(BIN)/lint-imports

# The engine's own tests alone: what only a transport or a peer happens to touch does not count. They run a second time
# for it, since measuring takes longer than they do; without three that reach nothing new and would take minutes.
coverage: $(VENV)/.installed-dev ## lines and branches of the engine that its own tests reach, each at least 95 %
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) -q $(ENGINE_TESTS) \
	  --ignore=tests/connection/test_flood_memory.py --ignore=tests/connection/test_duplex_table.py -k "not cut_at_every_byte"
	$(PY) scripts/coverage_gate.py

gate: $(VENV)/.installed-dev ## build the wheel, install it into fresh environments, try it
	$(BIN)/pytest -m gate tests/house

requirements: $(VENV)/.installed-dev ## which requirement and scenario ids have a passing test, which not (as of the last run)
	@test -f .requirements/results.json || $(MAKE) test ARGS= || true
	@$(PY) scripts/requirements.py

requirements-check: $(BUILD)/tested ## every id has a passing test, but those that pyproject.toml excuses
	$(PY) scripts/requirements.py --check

diagrams: $(VENV)/.installed-dev ## draw the state diagrams in docs/ from the tables
	$(PY) scripts/state_diagrams.py

coverage-states: $(VENV)/.installed-dev ## what simulated runs reach: cells, race orders, marks; writes docs/coverage-states.md
	$(PY) scripts/coverage_states.py

diagrams-check: $(VENV)/.installed-dev ## are the diagrams those of the tables?
	$(PY) scripts/state_diagrams.py --check

protos: .venv-protos/.installed ## generate the protobuf code from protos/
	.venv-protos/bin/python scripts/protos.py

protos-check: .venv-protos/.installed ## is the generated code that of protos/?
	.venv-protos/bin/python scripts/protos.py --check

format: $(VENV)/.installed-dev ## let ruff fix and format what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove the environments and everything that was generated but not committed
	rm -rf $(VENV) .venv-protos .venv-floor .venv-mutants $(PEERS) $(BUILD) .requirements .coverage .coverage.* coverage.json dist build \
	  .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
