#!/usr/bin/env bash
# Puts anvil, a chain for tests, into .clients/anvil, from npm: the package holds the program itself. Says where it is.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .clients
# Tests that run beside each other ask for it at once.
exec 9>.clients/anvil.lock
! command -v flock >/dev/null || flock 9
program=.clients/anvil/node_modules/.bin/anvil
if [ ! -e "$program" ]; then
  scripts/packages.sh npm >&2
  mkdir -p .clients/anvil
  npm install --prefix .clients/anvil --no-fund --no-audit --no-update-notifier --loglevel=error "@foundry-rs/anvil@^1.7" >/dev/null
fi
# What .bin holds is a script for Node which starts the program and outlives it; here is the program itself.
find "$PWD/.clients/anvil/node_modules/@foundry-rs" -path '*/bin/anvil' -type f | head -n 1
