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
# Debian and Ubuntu keep what makes environments in a package of its own.
can_make() { "$python" -c 'import venv, ensurepip' 2>/dev/null; }
if ! can_make && command -v apt-get >/dev/null; then
  [ "$(id -u)" -ne 0 ] || apt-get update -qq
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  apt-cache show "$package" >/dev/null 2>&1 || package=python3-venv
  if [ "$(id -u)" -ne 0 ]; then
    echo "This Python cannot make environments. Install the package that can: sudo apt-get install $package" >&2
    exit 1
  fi
  echo "Installing $package …"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "$package" >/dev/null
fi
if ! can_make; then
  echo "This Python ('$python') cannot make environments: its modules venv and ensurepip are missing. Name another: make PYTHON=python3.11 serve" >&2
  exit 1
fi
echo "Making the environment $venv …"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/uv.txt
