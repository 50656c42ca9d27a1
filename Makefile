# The two commands of this project are `make serve` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
UV     := $(BIN)/uv

.DEFAULT_GOAL := help
.PHONY: help serve test test-clients check format bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.base ## Install what is missing and run the stack (profile dev, this machine only)
	@$(MAKE) --no-print-directory $(VENV)/.sandbox || echo "The tools that run code stay off without it; everything else works." >&2
	@exec $(BIN)/dagi serve $(ARGS)

test: $(VENV)/.dev ## Install what tests need; then lint, types, layers and all tests
	@scripts/check.sh
	@scripts/test.sh $(ARGS)

test-clients: $(VENV)/.dev ## Try the stack with clients of other worlds: Dify's model classes, OpenAI's SDK for Node, Codex
	@scripts/clients.sh

check: $(VENV)/.dev ## Lint, formatting, types and import layers
	@scripts/check.sh

format: $(VENV)/.dev ## Put the code into the project's format
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format -q .

bench: $(VENV)/.dev ## Measure beside nginx in the same run (installs nginx and wrk where it may)
	@scripts/bench.sh $(ARGS)

lock: $(VENV)/.base ## Resolve the dependencies anew into locks/ (newest: ARGS=--upgrade)
	@scripts/lock.sh $(ARGS)

clean: ## Remove the environment and everything that was generated (not your data in .dagi)
	rm -rf $(VENV) $(VENV)-sandbox .pytest_cache .ruff_cache .hypothesis .coverage* htmlcov dist build .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv installs from the lock, with hashes; pip is only asked for uv itself.
$(VENV)/bin/uv: scripts/environment.sh
	@PYTHON=$(PYTHON) scripts/environment.sh $(VENV) && touch $@

$(VENV)/.base: $(VENV)/bin/uv locks/base.txt pyproject.toml
	@scripts/install.sh $(VENV) locks/base.txt && touch $@

$(VENV)/.sandbox: $(VENV)/bin/uv locks/sandbox.txt scripts/sandbox.sh
	@scripts/sandbox.sh $(VENV) && touch $@

$(VENV)/.dev: $(VENV)/bin/uv locks/dev.txt pyproject.toml $(VENV)/.sandbox
	@scripts/install.sh $(VENV) locks/dev.txt && touch $(VENV)/.base && touch $@
