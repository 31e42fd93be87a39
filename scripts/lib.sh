# shellcheck shell=bash
# Sourced by every script in scripts/ and examples/: strict mode, messages, and the Python to run.

set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PROGRAM="$(basename "$0")"
export ROOT PROGRAM

note() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }

# die MESSAGE [EXIT_STATUS]: one sentence that names the cause and the remedy, then stop.
die() {
    printf '%s: error: %s\n' "$PROGRAM" "$1" >&2
    exit "${2:-1}"
}

# print_usage SCRIPT: the comment block at the head of a script is its --help.
print_usage() { sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p;}}' "$1"; }

# need_value OPTION REMAINING_ARGUMENT_COUNT: an option's value must follow it.
need_value() { [[ "$2" -ge 2 ]] || die "$1 needs a value; see $PROGRAM --help" 2; }

# use_python: set PYTHON to the interpreter of the project's environment and put its commands on PATH.
# An interpreter chosen by the caller (PYTHON=...) or an active environment comes first.
use_python() {
    if [[ -z "${PYTHON:-}" ]]; then
        if [[ -n "${VIRTUAL_ENV:-}" && -x "$VIRTUAL_ENV/bin/python" ]]; then
            PYTHON="$VIRTUAL_ENV/bin/python"
        elif [[ -x "$ROOT/.venv/bin/python" ]]; then
            PYTHON="$ROOT/.venv/bin/python"
        else
            PYTHON="$(command -v python3 || true)"
        fi
    fi
    [[ -n "$PYTHON" ]] || die "no Python found; run: bash scripts/setup.sh"
    "$PYTHON" -c 'import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in ("torch", "fairseq")))' ||
        die "$PYTHON has no torch or fairseq; run: bash scripts/setup.sh, or set PYTHON to an interpreter that has them"
    PATH="$(dirname "$PYTHON"):$PATH"
    export PYTHON PATH
    export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
}
