#!/usr/bin/env bash
# Everything that needs no running program: lint, formatting, types, import layers, shell scripts.
set -euo pipefail
bin=.venv/bin
echo "ruff";          "$bin/ruff" check --quiet .
echo "formatting";    "$bin/ruff" format --check --quiet .
echo "import layers"; "$bin/lint-imports" --no-cache | tail -n 3
echo "types";         "$bin/basedpyright" | tail -n 1
for script in scripts/*.sh .ci/run smoke.sh; do [ ! -f "$script" ] || bash -n "$script"; done
