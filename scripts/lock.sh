#!/usr/bin/env bash
# Resolves pyproject.toml into locks/: base (what runs), dev (what runs and tests), sandbox (what code of others finds), uv (what installs).
set -euo pipefail
compile=(.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet)
"${compile[@]}" "$@" pyproject.toml -o locks/base.txt
"${compile[@]}" "$@" pyproject.toml --group dev -o locks/dev.txt
"${compile[@]}" "$@" --group sandbox -o locks/sandbox.txt
echo "uv==0.13.9" | "${compile[@]}" "$@" - -o locks/uv.txt
