#!/usr/bin/env bash
# Makes the virtual environment $1 with uv in it. Says what to install where Python is missing something.
set -euo pipefail
venv=$1
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
  echo "Python 3.11 or newer is needed, and '$python' is not there. Debian, Ubuntu: apt-get install python3 python3-venv; or: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Python 3.11 or newer is needed; '$python' is $("$python" --version 2>&1). Name another: make PYTHON=python3.11 serve" >&2
  exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  echo "This Python cannot make environments. Debian, Ubuntu: apt-get install python3-venv" >&2
  exit 1
fi
echo "Making the environment $venv …"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
