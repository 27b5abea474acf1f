#!/usr/bin/env bash
# Sets up an environment and runs every gate: tests, lint, format, types, documentation.
# Usage: tools/test.sh [--cpu-only] [VENV]       (VENV is made if it is missing; default .venv)
#   --cpu-only  stop after the installation if it brought a CUDA build of torch
set -euo pipefail
cd "$(dirname "$0")/.."

cpu_only=false
if [ "${1:-}" = --cpu-only ]; then
  cpu_only=true
  shift
fi
venv=${1:-.venv}

if [ ! -x "$venv/bin/python" ]; then
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed" >&2; exit 2; }
  python3 -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet -c constraints.txt '.[test,mlip,dev]'
"$venv/bin/python" -m pip install --quiet -c constraints.txt '.[pore]' || # not for every version of Python
  echo "without pyzeo: tests of pores, and of the documents, are skipped" >&2

if $cpu_only && ! "$venv/bin/python" -c 'import sys, torch; sys.exit(torch.version.cuda is not None)'; then
  echo "torch is a CUDA build here, the CPU build was expected: stopping" >&2
  exit 2
fi

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
status=0
gate() { # name, command...
  local name=$1
  shift
  if "$@"; then echo "ok: $name"; else echo "FAILED: $name"; status=1; fi
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The installed tool, outside the checkout, from the wheel's own files.
gate "installed tool" env -C / "$(realpath "$venv")/bin/crystaltool" --version
gate "ruff check" "$venv/bin/ruff" check .
gate "ruff format" "$venv/bin/ruff" format --check --quiet .
gate "ty check" "$venv/bin/ty" check --python "$venv" --quiet
gate "documentation site" "$venv/bin/python" tools/build_docs.py
gate "man pages" "$venv/bin/python" tools/build_man.py --check
gate "pytest" bash -o pipefail -c '"$1" -m pytest -n 2 -q | tee "$2"' _ "$venv/bin/python" "$log"
echo "pytest: $(tail -n 1 "$log")"
exit $status
