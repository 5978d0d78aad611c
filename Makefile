# Works with a Python >= 3.11 and make alone. Each target makes the environment it needs; PYTHON= names the interpreter.
.DEFAULT_GOAL := help
.PHONY: help demo test check coverage proofs soak bench lock format docs clean
PYTHON ?=
SECONDS ?=
READS ?=
PORT ?=
WORKERS ?=
URL ?=
REDIS ?=
ARGS ?=
TESTED ?=
export PYTHON
# The suite starts thousands of processes: each would compile the library anew.
unexport PYTHONDONTWRITEBYTECODE
VENV = @scripts/venv.sh
BIN = .venv/bin

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

demo: ## run the server with three busy services on port 8338 (SECONDS=20 ends it, PORT= moves it, WORKERS=4, REDIS=1)
	$(VENV) $(if $(REDIS),dev,demo)
	@$(BIN)/cenote demo $(if $(SECONDS),--seconds $(SECONDS)) $(if $(PORT),--port $(PORT)) $(if $(WORKERS),--workers $(WORKERS)) $(if $(REDIS),--redis)

test: ## run the tests (ARGS="-k clear -x" goes to pytest)
	$(VENV) dev
	@$(BIN)/python -m pytest -q -n logical $(ARGS)

check: ## run everything a change must pass: format, lint, types, layers, tests, docs, wheel
	$(VENV) dev
	@$(BIN)/python scripts/check.py $(if $(TESTED),--tested) $(ARGS)

coverage: ## run the tests and show the lines of the library that they do not reach
	$(VENV) dev
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -q $(ARGS)
	@$(BIN)/python -m coverage combine -q
	@$(BIN)/python -m coverage report

proofs: ## check the models of the network reach with TLC, which needs Java (ARGS="--only SplitBrain --trace")
	$(VENV) dev
	@$(BIN)/python scripts/proofs.py $(ARGS)

soak: ## have processes share caches, kill some, and judge every read (SECONDS=600, URL=memory or lmdb; REDIS=1: 5,000,000 of them, READS=)
	$(VENV) dev
	@$(BIN)/python -m $(if $(REDIS),tests.network.soak,tests.machine.soak) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(READS)$(if $(SECONDS),,$(REDIS)),--reads $(or $(READS),5000000)) $(if $(URL),--url $(URL)) $(ARGS)

bench: ## measure against the other caching libraries and write benchmarks/RESULTS.md
	$(VENV) bench
	@$(BIN)/python -m benchmarks $(ARGS)

lock: ## resolve requirements/*.txt anew from pyproject.toml
	$(VENV) lock .venv-lock
	@scripts/lock.sh

format: ## format the code and mend what ruff can mend
	$(VENV) dev
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

docs: ## build the documentation into docs/_build/html
	$(VENV) dev
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

clean: ## remove the environments and everything that was built
	rm -rf .venv .venv-* build dist docs/_build .*_cache .hypothesis .coverage*
	find src tests benchmarks scripts docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
