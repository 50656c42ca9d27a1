#!/usr/bin/env bash
# Changes the access room in one place after another and runs its tests on each: what nobody notices is listed (mutation testing).
# Works on a copy in .mutation/; arguments go to mutmut (https://mutmut.readthedocs.io), for example: scripts/mutate.sh results
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$PWD/.venv/bin/uv
copy=.mutation/copy
mkdir -p "$copy"
# The copy keeps what it has found before: only what changed since is tried again.
git ls-files --cached --others --exclude-standard | tar --create --files-from - | tar --extract --directory "$copy"
cd "$copy"
if [ ! -x .venv/bin/mutmut ]; then
  "$uv" venv --quiet .venv
  VIRTUAL_ENV="$PWD/.venv" UV_NO_CONFIG=1 "$uv" pip install --quiet --requirements locks/dev.txt --require-hashes
  VIRTUAL_ENV="$PWD/.venv" UV_NO_CONFIG=1 "$uv" pip install --quiet --no-deps --editable . "mutmut>=3.8,<4"
  VIRTUAL_ENV="$PWD/.venv" UV_NO_CONFIG=1 "$uv" pip install --quiet "mutmut>=3.8,<4"
fi
export PATH="$PWD/.venv/bin:$PATH"
if [ $# -gt 0 ]; then
  exec mutmut "$@"
fi
mutmut run --max-children 2
mutmut results | grep -E ': (survived|no tests|timeout|suspicious)' || echo "Every change was noticed."
