#!/usr/bin/env bash
# Makes the environment that code of others finds in the sandbox, of the Python of the stack's own environment $1, beside it as $1-sandbox.
set -euo pipefail
venv=$1
sandbox=$venv-sandbox
echo "Installing what the sandbox offers from locks/sandbox.txt …"
export UV_NO_CONFIG=1 UV_LINK_MODE=${UV_LINK_MODE:-copy}
# Another Python than the stack's could not be found by what looks for the environment: it is made anew.
rm -rf "$sandbox"
"$venv/bin/uv" venv --quiet --no-project --python "$venv/bin/python" "$sandbox"
VIRTUAL_ENV="$PWD/$sandbox" "$venv/bin/uv" pip sync --quiet --require-hashes --compile-bytecode locks/sandbox.txt
# The list of this machine's fonts, which matplotlib would otherwise make anew in every run.
MPLCONFIGDIR="$PWD/$sandbox/share/matplotlib" "$sandbox/bin/python" -c "import matplotlib.font_manager" 2>/dev/null
