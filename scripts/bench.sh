#!/usr/bin/env bash
# Measures the stack and prints one table (JSON in .bench/). Arguments go to benchmarks/run.py: --quick, --only ROW, --rounds N.
set -euo pipefail
python=${BENCH_PYTHON:-.venv/bin/python}

missing=()
for tool in nginx wrk; do
  PATH="$PATH:/usr/sbin" command -v "$tool" >/dev/null || missing+=("$tool")
done

# Installs the Debian packages $@ without starting the services that come with them.
install_packages() (
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
)

if [ ${#missing[@]} -gt 0 ]; then
  packages=("${missing[@]/#nginx/nginx-light}")
  by_hand="apt-get install --no-install-recommends ${packages[*]}"
  if ! command -v apt-get >/dev/null; then
    echo "Not found: ${missing[*]}. Install them with your package manager; the rows that need them are skipped." >&2
  elif [ "$(id -u)" -ne 0 ]; then
    echo "Not found: ${missing[*]}. Install them as root ($by_hand); the rows that need them are skipped." >&2
  else
    echo "Installing ${packages[*]} …" >&2
    install_packages "${packages[@]}" || echo "That failed; try by hand: $by_hand. The rows that need them are skipped." >&2
  fi
fi

# What the OpenAI face is measured beside.
case " $* " in *" v1 "*) scripts/peers.sh ;; esac

# Where this is set, Python compiles every module at every start; no installation runs like that.
unset PYTHONDONTWRITEBYTECODE

PATH="$PATH:/usr/sbin" exec "$python" benchmarks/run.py "$@"
