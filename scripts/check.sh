#!/usr/bin/env bash
# Everything that needs no running program: lint, formatting, types, import layers, shell scripts.
set -euo pipefail
bin=.venv/bin

# Runs the command $2… under the name $1; what it says is shown whole when it fails, and its last $lines lines when it does not.
check() {
  local name=$1 said status=0
  shift
  echo "$name"
  said=$("$@" 2>&1) || status=$?
  if [ "$status" -ne 0 ]; then
    printf '%s\n' "$said" >&2
    exit "$status"
  fi
  [ "${lines:-0}" -eq 0 ] || tail -n "$lines" <<<"$said"
}

check "ruff" "$bin/ruff" check --quiet .
check "formatting" "$bin/ruff" format --check --quiet .
lines=3 check "import layers" "$bin/lint-imports" --no-cache
lines=1 check "types" "$bin/basedpyright"
for script in scripts/*.sh .ci/run smoke.sh; do [ ! -f "$script" ] || bash -n "$script"; done
