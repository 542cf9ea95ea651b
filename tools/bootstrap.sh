#!/usr/bin/env bash
# The project's environment in .venv, from uv.lock. Brings uv where the machine has none: it goes
# into the cache, not into the machine's own Python. Needs Python 3.11 or newer; safe to repeat.
set -euo pipefail
cd "$(dirname "$0")/.."

uv_version=0.13.9
cache="${XDG_CACHE_HOME:-$HOME/.cache}/voicefleet"

die() {
  echo "error: $*" >&2
  exit 1
}

if command -v uv >/dev/null; then
  uv=$(command -v uv)
else
  uv="$cache/uv-$uv_version/bin/uv"
  if [[ ! -x $uv ]]; then
    command -v python3 >/dev/null || die "Python 3.11 or newer is missing; on Debian: apt-get install python3 python3-venv"
    echo "bringing uv $uv_version (once)" >&2
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
      # Debian keeps it in a package of its own.
      [[ $EUID -eq 0 ]] || die "python3-venv is missing; run: sudo apt-get install python3-venv"
      apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >&2
    fi
    rm -rf "$cache/uv-$uv_version"
    python3 -m venv "$cache/uv-$uv_version"
    "$cache/uv-$uv_version/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
  fi
fi

echo "installing the locked packages into .venv" >&2
# Compiled now, once: processes of ours start in half the time, wherever bytecode is not written.
"$uv" sync --locked --all-packages --compile-bytecode --quiet
touch .venv/.synced
