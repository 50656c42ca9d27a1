#!/usr/bin/env bash
# Asks a running router with clients that cannot live in our own environment: Dify's model classes (need Python 3.12 or newer), OpenAI's SDK
# for Node, and its coding agent Codex; and our scripted Telegram with aiogram, which needs another pydantic. Each is installed into .clients/. What cannot be tried here is said, and is no failure.
set -uo pipefail
cd "$(dirname "$0")/.."
status=0

# A Python of at least 3.12; CLIENTS_PYTHON names one that is not on the path.
find_python() {
  local candidate
  for candidate in "${CLIENTS_PYTHON:-}" python3.14 python3.13 python3.12 python3 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return 0
    fi
  done
  return 1
}

run() {
  .venv/bin/python -m pytest -q -p no:randomly -p no:cacheprovider "$@" || status=1
}

if ! python=$(find_python); then
  echo "Dify's model class was not tried: it needs Python 3.12 or newer, and there is none here (CLIENTS_PYTHON=/path/to/python3.12 names one)."
elif [ -x .clients/dify/bin/python ] && .clients/dify/bin/python -c 'import dify_plugin' 2>/dev/null ||
  { rm -rf .clients/dify && mkdir -p .clients && "$python" -m venv --without-pip .clients/dify &&
    VIRTUAL_ENV="$PWD/.clients/dify" UV_NO_CONFIG=1 .venv/bin/uv pip install --quiet "dify-plugin>=0.10,<0.11"; }; then
  run tests/clients/with_dify.py
else
  echo "Dify's model class was not tried: it could not be installed into .clients/dify."
fi

if [ -x .clients/aiogram/bin/python ] && .clients/aiogram/bin/python -c 'import aiogram' 2>/dev/null ||
  { rm -rf .clients/aiogram && mkdir -p .clients && .venv/bin/python -m venv --without-pip .clients/aiogram &&
    VIRTUAL_ENV="$PWD/.clients/aiogram" UV_NO_CONFIG=1 .venv/bin/uv pip install --quiet "aiogram>=3.31,<4"; }; then
  run tests/clients/with_aiogram.py
else
  echo "aiogram was not tried: it could not be installed into .clients/aiogram."
fi

# Installs a package of npm into .clients/NAME, where it is not there yet: npm_package NAME PACKAGE VERSIONS
npm_package() {
  [ -d ".clients/$1/node_modules/$2" ] ||
    { mkdir -p ".clients/$1" &&
      npm install --prefix ".clients/$1" --no-fund --no-audit --no-update-notifier --loglevel=error "$2@$3" >/dev/null; }
}

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "OpenAI's SDK for Node and Codex were not tried: node and npm are not here."
else
  if npm_package node openai ">=6"; then
    run tests/clients/with_node.py
  else
    echo "OpenAI's SDK for Node was not tried: it could not be installed into .clients/node."
  fi
  if npm_package codex @openai/codex ">=0.169"; then
    run tests/clients/with_codex.py
  else
    echo "Codex was not tried: it could not be installed into .clients/codex."
  fi
fi
exit "$status"
