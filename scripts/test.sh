#!/usr/bin/env bash
# Sets up what is missing, then runs the linters, the type checker and the whole test suite.
#
# Usage: bash scripts/test.sh [--help] [--fast] [PYTEST_ARGUMENT...]
#
#   --fast    an answer in about two minutes: without the tests marked "slow" (whole pipelines, trainings)
#
# Other arguments go on to pytest, which runs one test more than there are cores, as some wait (-n 0: one by one).
# PYTHON=INTERPRETER tests in that environment as it is, without set-up.
# OMP_NUM_THREADS (default: 1) is the number of threads of each training process that a test starts.
#
# Examples:
#   bash scripts/test.sh
#   bash scripts/test.sh --fast
#   bash scripts/test.sh tests/test_setup.py -k patch
#   PYTHON=~/envs/mt/bin/python bash scripts/test.sh -x

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
    print_usage "$0"
    exit 0
fi
fast=()
if [[ "${1:-}" == --fast ]]; then
    fast=(-m "not slow")
    shift
fi
if [[ -z "${PYTHON:-}" ]]; then
    bash "$ROOT/scripts/setup.sh" --dev
    PYTHON="$ROOT/.venv/bin/python"
fi
use_python
cd "$ROOT"

# The tests' models are tiny, and two processes whose threads spin on the same cores are far slower than one thread each.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

failed=""
"$PYTHON" -m ruff check . || failed+=" ruff-check"
"$PYTHON" -m ruff format --check . || failed+=" ruff-format"
"$PYTHON" -m mypy || failed+=" mypy"
[[ -z "$failed" ]] || die "these checks failed:$failed; their complaints are above, and the tests were not run"

exec "$PYTHON" -m pytest -n "$(($(getconf _NPROCESSORS_ONLN) + 1))" --dist loadfile --no-loadscope-reorder ${fast[@]+"${fast[@]}"} "$@"
