#!/usr/bin/env bash
# All tests, two at a time, and their coverage. With arguments: pytest with these, without coverage.
set -euo pipefail
bin=.venv/bin
scripts/packages.sh curl openssl 'valkey-server|redis-server'
if [ $# -gt 0 ]; then
  exec "$bin/python" -m pytest "$@"
fi
rm -f .coverage .coverage.*
"$bin/coverage" run -m pytest --numprocesses 2
"$bin/coverage" combine --quiet
"$bin/coverage" report --fail-under="${COVERAGE_MINIMUM:-94}" | tail -n 40
