#!/usr/bin/env bash
# All tests, two at a time, and their coverage. With arguments: pytest with these, without coverage.
set -euo pipefail
bin=.venv/bin
scripts/anvil.sh >/dev/null
scripts/packages.sh curl git openssl 'bwrap|bubblewrap' 'node|nodejs' npm 'valkey-server|redis-server' 'postgres|pg_createcluster|postgresql'
if [ $# -gt 0 ]; then
  exec "$bin/python" -m pytest "$@"
fi
rm -f .coverage .coverage.*
"$bin/coverage" run -m pytest --numprocesses 2
# A part of the stories once more, told to a stack in processes of its own (all of them: pytest tests/story --processes).
"$bin/python" -m pytest tests/story/test_route.py --processes --numprocesses 2 -q -k "stream or session or members_question or nobody_is_left"
# Clients that need another Python, or Node; where there is none, this says so.
scripts/clients.sh
"$bin/coverage" combine --quiet
"$bin/coverage" report --fail-under="${COVERAGE_MINIMUM:-94}" | tail -n 40
