#!/usr/bin/env bash
# Installs what `make bench ARGS="--only v1"` measures beside us, each into an environment of its own under .peers/: the LiteLLM proxy and the
# Portkey gateway. Never into ours. What cannot be installed here is said, and its rows are skipped. Arguments: which of them (all).
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p .peers

litellm() {
  local to=.peers/litellm
  [ ! -x "$to/bin/litellm" ] || return 0
  echo "Installing the LiteLLM proxy into $to …" >&2
  # The newest whose own requirements can all be had; uv goes back release by release where it must.
  rm -rf "$to" && .venv/bin/python -m venv --without-pip "$to" &&
    VIRTUAL_ENV="$PWD/$to" UV_NO_CONFIG=1 .venv/bin/uv pip install --quiet --compile-bytecode "litellm[proxy]>=1.80" &&
    [ -x "$to/bin/litellm" ]
}

portkey() {
  local to=.peers/portkey
  [ ! -f "$to/node_modules/@portkey-ai/gateway/package.json" ] || return 0
  command -v npm >/dev/null || { echo "npm is not here: Portkey is a program of Node.js." >&2 && return 1; }
  echo "Installing the Portkey gateway into $to …" >&2
  mkdir -p "$to" && npm install --prefix "$to" --no-fund --no-audit --no-update-notifier --loglevel=error "@portkey-ai/gateway@^1.15" >/dev/null
}

[ $# -gt 0 ] || set -- litellm portkey
for peer in "$@"; do
  case $peer in
  litellm | portkey) "$peer" || echo "$peer could not be installed; its rows are skipped." >&2 ;;
  *) echo "There is no peer $peer: litellm, portkey." >&2 && exit 2 ;;
  esac
done
