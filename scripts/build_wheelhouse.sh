#!/usr/bin/env bash
# Builds every package of the project but torch and numpy as wheels, to carry to a machine without a network.
#
# Usage: bash scripts/build_wheelhouse.sh [OPTION...]
#
#   --python INTERPRETER  Python of the same version as the other machine's (default: the first supported one on PATH)
#   --out DIR             folder for the wheels (default: wheelhouse in the project); an earlier wheelhouse is replaced
#   --with SPEC           one more package with what it needs, such as numpy or pytest; may be repeated
#   --help                this text
#
# The other machine needs that Python, torch and numpy, the same kind of processor and a system no older than this one.
# fairseq's extensions do not link torch: one wheelhouse serves every torch build, those for CUDA too.
# The command to run there is printed at the end and kept in DIR/INSTALL.txt; it leaves torch and numpy alone.
#
# Examples:
#   bash scripts/build_wheelhouse.sh --python python3.12 --out wheelhouse-py312
#   bash scripts/build_wheelhouse.sh --with 'pytest>=8' --with 'hypothesis>=6.100'

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_install.sh
source "$ROOT/scripts/lib_install.sh"

interpreter="" out="$ROOT/wheelhouse" extra=()
while [[ $# -gt 0 ]]; do
    case "$1" in
        --python) need_value "$1" $#; interpreter="$2"; shift 2 ;;
        --out) need_value "$1" $#; out="$2"; shift 2 ;;
        --with) need_value "$1" $#; extra+=("$2"); shift 2 ;;
        -h | --help) print_usage "$0"; exit 0 ;;
        *) die "unknown argument: $1; see $PROGRAM --help" 2 ;;
    esac
done
[[ "$out" == /* ]] || out="$PWD/$out"
out="${out%/}"
for spec in ${extra[@]+"${extra[@]}"}; do
    [[ ! "$spec" =~ ^(torch|nvidia)([^a-zA-Z0-9]|$) ]] || die "a wheelhouse holds no $spec; install that on the other machine" 2
done
[[ ! -e "$out" || -f "$out/INSTALL.txt" || (-d "$out" && -z "$(ls -A "$out")") ]] ||
    die "$out exists and is no wheelhouse; remove it or choose another folder with --out"

SECONDS=0
choose_python "$interpreter"
version="$(python_version "$interpreter")"
check_compiler "$interpreter"
mkdir -p "$(dirname "$out")" 2>/dev/null || die "cannot make $out; choose a folder you can write to with --out"
check_space "$out" 1
check_temporary 1

# Beside the result, so that the finished folder moves into place at once; a dot keeps a half-built one out of sight.
work="$(mktemp -d "$(dirname "$out")/.wheelhouse.XXXXXX")" || die "cannot write beside $out; choose another folder with --out"
trap 'explain_exit $? "$work" "$TEMPORARY"; rm -rf "$work"' EXIT
trap 'die "interrupted; nothing was left behind" 130' INT TERM
PIP_LOG="$work/pip.log"
mkdir "$work/wheels" "$work/source" "$work/plugin"

"$interpreter" -m venv "$work/venv" >/dev/null 2>&1 ||
    die "$interpreter cannot make environments; install its venv module (Debian, Ubuntu: python3-venv) or name another Python with --python"
python="$work/venv/bin/python"

note "building fairseq for $version (about a minute)"
build_fairseq_wheel "$python" "$work/wheels" "$work/source"

# From a copy: a build in the project would leave folders there, and stale ones would end up in the wheel.
cp -R "$ROOT"/{fairseq_plugins,setup.py,pyproject.toml,README.md,LICENSE} "$work/plugin"
run_pip "the plugin's wheel" "$python" wheel --no-deps --wheel-dir "$work/wheels" "$work/plugin"

note "collecting what they need"
"$python" "$ROOT/scripts/inspect_env.py" needs "$work"/wheels/*.whl >"$work/needs.txt"
printf '%s\n' ${extra[@]+"${extra[@]}"} >>"$work/needs.txt"
run_pip "the wheels" "$python" wheel --use-pep517 --wheel-dir "$work/wheels" --find-links "$work/wheels" --requirement "$work/needs.txt"
# sacrebleu names numpy, and a numpy in the folder would replace the one that the other machine's torch goes with.
[[ "${extra[*]-}" == *numpy* ]] || rm -f "$work"/wheels/numpy-*.whl
if compgen -G "$work/wheels/torch-*" >/dev/null || compgen -G "$work/wheels/nvidia*" >/dev/null; then
    die "one of the packages asked for with --with brings torch along; leave it out"
fi

note "trying the wheels in a fresh environment"
run_pip "the wheelhouse" "$python" install --no-index --no-deps "$work"/wheels/*.whl
failure="$("$python" "$ROOT/scripts/inspect_env.py" verify-wheels 2>&1)" || die "the wheels do not work: $failure"

command="python -m pip install --no-index --no-deps $(printf '%q' "$(basename "$out")")/*.whl"
cat >"$work/wheels/INSTALL.txt" <<TEXT
Wheels of fairseq_plugins and fairseq 0.12.2 for $version on $("$python" -c 'import sysconfig; print(sysconfig.get_platform())').
On the other machine, in an environment with torch and numpy, from the folder that holds this one:

    $command
TEXT
rm -rf "$out"
mv "$work/wheels" "$out"
note "$(find "$out" -name '*.whl' | wc -l) wheels, $(du -sh "$out" | cut -f1), in $out after ${SECONDS} s"
note "carry that folder over, and in an environment with torch and numpy run, from the folder that holds it:"
printf '%s\n' "$command"
