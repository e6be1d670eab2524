.DEFAULT_GOAL := help
PYTHON ?= python3
CODE := run.py api bench launcher shared tests worker
LOCKS := requirements.txt requirements-embedded.txt requirements-dev.txt
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate pyproject.toml

.PHONY: help run test bench faults degradation schema fuzz audit lint format types check lock clean

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: ## Start the whole product; Ctrl-C stops it.
	@$(PYTHON) run.py

test: ## Run the tests, with a PostgreSQL and a Redis of their own.
	@$(PYTHON) run.py test --numprocesses 2 --dist loadfile --no-loadscope-reorder

bench: ## Measure against ffmpeg and what others do; OPTIONS=--quick for a minute.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m bench $(OPTIONS)

faults: ## Harm the product under load in a hundred ways, and see that it keeps its promises.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m tests.faults $(OPTIONS)

degradation: ## Ask for everything while one thing after another is away.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m tests.faults.degradation

schema: ## Have Schemathesis compare the service with its OpenAPI document.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m tests.schema $(OPTIONS)

fuzz: ## Read a million spoiled uploads, forms, ranges, tags and questions.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m tests.fuzz $(OPTIONS)

audit: ## Ask PyPI whether anything of the lock files is known to be vulnerable.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m pip_audit --strict --disable-pip --require-hashes \
		$(LOCKS:%=--requirement=%)

lint: ## Check style and format.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m ruff check $(wildcard $(CODE))
	@.venv/bin/python -m ruff format --check $(wildcard $(CODE))

format: ## Bring the code into its format.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m ruff format $(wildcard $(CODE))

types: ## Check the types.
	@$(PYTHON) run.py install --dev
	@.venv/bin/python -m mypy

check: lint types test ## All of the above that can fail.

lock: ## Bring the lock files in line with pyproject.toml (needs uv).
	@$(COMPILE) --output-file requirements.txt
	@$(COMPILE) --extra embedded --constraint requirements.txt --output-file requirements-embedded.txt
	@$(COMPILE) --extra embedded --group dev --constraint requirements-embedded.txt \
		--output-file requirements-dev.txt

clean: ## Remove the environment and caches; the data in .data stay.
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
