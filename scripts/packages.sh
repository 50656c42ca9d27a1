#!/usr/bin/env bash
# Makes sure of the programs named as arguments: installs their Debian packages where it may, says what to do where it may not.
# One of several will do where they are written with bars: valkey-server|redis-server.
set -euo pipefail
missing=()
for names in "$@"; do
  IFS='|' read -ra choice <<<"$names"
  found=
  for name in "${choice[@]}"; do
    ! command -v "$name" >/dev/null || found=yes
  done
  [ -n "$found" ] || missing+=("$names")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "Missing: ${missing[*]}. Install them, for example: sudo apt-get install ${missing[*]##*|}" >&2
  exit 1
fi
apt-get update -qq
packages=()
for names in "${missing[@]}"; do
  IFS='|' read -ra choice <<<"$names"
  package=${choice[-1]}
  for name in "${choice[@]}"; do
    if apt-cache show "$name" >/dev/null 2>&1; then
      package=$name
      break
    fi
  done
  packages+=("$package")
done
echo "Installing ${packages[*]} …"
# Services that come with a package are not started: tests start what they need.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
