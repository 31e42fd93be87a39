#!/usr/bin/env bash
# Makes the project's Python environment: torch, then fairseq 0.12.2 patched for today's Python, then this plugin.
#
# Usage: bash scripts/setup.sh [OPTION...]
#
#   --venv DIR            environment to make, or an existing one to add to (default: .venv in the project);
#                         a torch or a working fairseq that is already there is used, never replaced
#   --python INTERPRETER  Python 3.10 to 3.13 to make it with (default: the first supported one on PATH)
#   --torch SPEC          torch to install, 2.6 or newer: a pip requirement or a wheel file (default: torch==2.13.0)
#   --dev                 also the tools that scripts/test.sh needs
#   --min-free-gb N       disk space to insist on before torch is downloaded (default: 4)
#   --help                this text
#
# Run it again at any time: what is complete is kept, what is missing or was interrupted is finished.
# pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, a proxy, ...) apply; on Linux the default index's torch brings CUDA.
# pip unpacks and compiles in TMPDIR (default: /tmp): 1 GB there, several for a CUDA torch.
#
# Examples:
#   bash scripts/setup.sh
#   bash scripts/setup.sh --python python3.12 --torch torch==2.11.0
#   bash scripts/setup.sh --venv ~/envs/mt                # an environment with its own torch
#   python3 -m venv --system-site-packages .venv && bash scripts/setup.sh    # use the system's torch

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/lib_install.sh
source "$ROOT/scripts/lib_install.sh"

# refuse_old WHAT VERSION REMEDY [STATUS]: end where this version of torch is older than the oldest supported one.
refuse_old() {
    [[ ! "$2" =~ ^([01]|2\.[0-5])(\.|$) ]] ||
        die "$1 is too old: before torch 2.6 a checkpoint could run code (CVE-2025-32434); $3" "${4:-1}"
}

venv="$ROOT/.venv" interpreter="" spec="" dev="" min_free=4
while [[ $# -gt 0 ]]; do
    case "$1" in
        --venv) need_value "$1" $#; venv="$2"; shift 2 ;;
        --python) need_value "$1" $#; interpreter="$2"; shift 2 ;;
        --torch) need_value "$1" $#; spec="$2"; shift 2 ;;
        --min-free-gb) need_value "$1" $#; min_free="$2"; shift 2 ;;
        --dev) dev=dev; shift ;;
        -h | --help) print_usage "$0"; exit 0 ;;
        *) die "unknown argument: $1; see $PROGRAM --help" 2 ;;
    esac
done
[[ "$min_free" =~ ^[0-9]+$ ]] || die "--min-free-gb takes a whole number, not $min_free" 2
[[ -z "$spec" || "$spec" =~ ^torch([^a-zA-Z0-9_-]|$) || "$spec" == *.whl ]] ||
    die "--torch takes a requirement such as torch==2.13.0 or a wheel file, not $spec" 2
refuse_old "--torch $spec" "$(sed -nE 's/^(.*\/)?torch(==|-)([0-9.]+).*/\3/p' <<<"$spec")" "take --torch torch==2.13.0 or another from 2.6 on" 2
[[ "$venv" == /* ]] || venv="$PWD/$venv"
venv="${venv%/}"

# The plugin must be found because it is installed, not because a caller put the project on PYTHONPATH.
PYTHONPATH="$(tr ':' '\n' <<<"${PYTHONPATH:-}" | grep -vxF "$ROOT" | paste -sd: - || true)"
export PYTHONPATH

python="$venv/bin/python"
unfinished="$venv/.fairseq_plugins-unfinished"
stamp="$venv/.fairseq_plugins-setup"
PIP_LOG="$venv/setup.log"
inspect() { "$python" "$ROOT/scripts/inspect_env.py" "$@"; }

# stamped KEY: what the last complete run noted under KEY.
stamped() { if [[ -f "$stamp" ]]; then sed -n "s/^$1 //p" "$stamp"; fi; }

# check_torch: an installed torch is kept; asking for another one is a contradiction that only the caller can resolve.
check_torch() {
    local status=0
    torch="$(inspect torch "$spec")" || status=$?
    [[ "$status" -ne 3 ]] ||
        die "$venv has torch $torch, which is kept and does not fit --torch $spec; leave --torch out, or choose another folder with --venv"
    [[ "$status" -eq 0 ]] || die "$python cannot tell its packages; remove $venv and run again"
    refuse_old "the torch $torch of $venv" "$torch" "install a newer one there yourself ($(printf '%q' "$python") -m pip install torch==2.13.0), or choose another folder with --venv"
}

# clashes: what pip check finds, sorted.
clashes() { { "$python" -m pip check 2>&1 || true; } | grep -v '^No broken requirements' | LC_ALL=C sort || true; }

# ---- 1. the environment
SECONDS=0
if [[ -x "$python" ]]; then
    version="$(python_version "$python")"
    is_supported "$version" ||
        die "$venv holds ${version:-a Python that does not run}, and $SUPPORTED is supported; remove it or choose another folder with --venv"
    if [[ -n "$interpreter" ]]; then
        choose_python "$interpreter"
        wanted="$(python_version "$interpreter")"
        [[ "$wanted" == "$version" ]] ||
            die "$venv holds $version, not the $wanted of --python; remove it or choose another folder with --venv"
    fi
    made_at="$(stamped venv)"
    [[ -z "$made_at" || "$made_at" == "$venv" ]] ||
        die "$venv was made as $made_at and environments do not survive a move; remove it and run again"
else
    [[ ! -e "$venv" || -f "$unfinished" || (-d "$venv" && -z "$(ls -A "$venv")") ]] ||
        die "$venv exists and is no Python environment; remove it or choose another folder with --venv"
    choose_python "$interpreter"
    check_project
    check_compiler "$interpreter"
    check_space "$venv" "$min_free"
    check_temporary "$((min_free < 1 ? min_free : 1))"
    mkdir -p "$venv" 2>/dev/null || die "cannot make $venv; choose a folder you can write to with --venv"
fi
writable "$venv" || die "cannot write to $venv; choose another folder with --venv"

# Two set-ups in one environment would undo each other; where there is no flock command, the user takes care.
exec 9>"$venv/.fairseq_plugins-lock"
if command -v flock >/dev/null; then
    flock -n 9 || die "another set-up is at work in $venv; wait for it to end and run again"
fi

# ---- 2. nothing to do?
files=("$ROOT/setup.py" "$ROOT/pyproject.toml")
recipe=("$ROOT/scripts/patch_fairseq.py" "$ROOT/requirements/fairseq.txt")
if [[ -x "$python" && ! -f "$unfinished" ]]; then
    check_torch
    if [[ -f "$stamp" && "$(stamped plugin)" == "$(inspect fingerprint "${files[@]}")" && -z "$(inspect missing "$dev")" ]] &&
        [[ "$(stamped fairseq)" == own || "$(stamped fairseq)" == "$(inspect fingerprint "${recipe[@]}")" ]] &&
        [[ "$(clashes)" == "$(stamped clash)" ]] && report="$(inspect verify "$ROOT")"; then
        printf '%s\n' "$report"
        note "$venv is complete; nothing to do (${SECONDS} s)"
        exit 0
    fi
fi

check_project
check_temporary 0
work="$(mktemp -d)"
trap 'explain_exit $? "$venv" "$TEMPORARY"; rm -rf "$work"' EXIT
trap 'die "interrupted; run the same command again and it goes on from here" 130' INT TERM

if [[ -f "$unfinished" ]]; then
    note "finishing an interrupted set-up in $venv"
elif [[ -x "$python" ]]; then
    echo found >"$unfinished"
else
    echo made >"$unfinished"
fi
if [[ "$(cat "$unfinished")" != found ]] && ! "$python" -m pip --version >/dev/null 2>&1; then
    choose_python "$interpreter"
    note "making $venv with $(python_version "$interpreter")"
    # All but our own marks: venv --clear would drop them, and a kill just then would leave an environment nobody owns.
    find "$venv" -mindepth 1 -maxdepth 1 ! -name '.fairseq_plugins-*' -exec rm -rf {} +
    "$interpreter" -m venv "$venv" >"$work/venv.log" 2>&1 || {
        ! full_disk 64 "$venv" "$TEMPORARY" >/dev/null || exit 1 # which is explained at the exit
        die "$interpreter cannot make environments; install its venv module (Debian, Ubuntu: python3-venv) or name another Python with --python"
    }
fi
"$python" -m pip --version >/dev/null 2>&1 || die "$venv has no pip; run: $(printf '%q' "$python") -m ensurepip"
for package in $(inspect drop-damaged "$unfinished"); do note "$package was left incomplete; installing it again"; done
clashes >"$work/clashes.before"

# ---- 3. torch
check_torch
build=""
inspect verify "$ROOT" fairseq >/dev/null 2>&1 || build=yes
[[ "$(stamped fairseq)" =~ ^(own)?$ || "$(stamped fairseq)" == "$(inspect fingerprint "${recipe[@]}")" ]] || build=yes
[[ -z "$build" ]] || check_compiler "$python"
if [[ -z "$torch" ]]; then
    spec="${spec:-torch==2.13.0}"
    check_space "$venv" "$min_free"
    note "installing $spec (a CUDA build is several GB)"
    run_pip "$spec" "$python" install "$spec" "torch>=2.6"
    torch="$(inspect torch)"
else
    note "using the torch $torch that is there"
fi

# The constraints keep pip from replacing torch.
printf 'torch==%s\nnumpy<3\n' "$torch" >"$work/constraints.txt"

# ---- 4. fairseq, unless a working one is there
wheel=()
fairseq="$(stamped fairseq)"
if [[ -n "$build" ]]; then
    note "building fairseq (about a minute)"
    mkdir "$work/wheel" "$work/source"
    build_fairseq_wheel "$python" "$work/wheel" "$work/source"
    wheel=("$work"/wheel/fairseq-*.whl)
    # First without its requirements: a broken fairseq of the same version would otherwise count as installed.
    run_pip fairseq "$python" install --no-deps --force-reinstall "${wheel[0]}"
    fairseq="$(inspect fingerprint "${recipe[@]}")"
    # Noted at once, so that an interruption from here on does not make it look like somebody's own.
    printf 'fairseq %s\n' "$fairseq" >"$stamp"
elif [[ -z "$fairseq" ]]; then
    note "using the working fairseq that is there"
    fairseq=own
fi

# ---- 5. the plugin and its tools
note "installing fairseq_plugins and its requirements"
run_pip "fairseq_plugins and its requirements" "$python" install --use-pep517 --constraint "$work/constraints.txt" \
    ${wheel[@]+"${wheel[@]}"} --editable "$ROOT${dev:+[$dev]}"

# ---- 6. proof
if ! report="$(inspect verify "$ROOT")"; then
    [[ "$report" != "import fairseq_plugins "* ]] || die "everything is installed but the plugin itself is broken: $report; check the files of $ROOT"
    die "$venv does not work yet: $report; remove it and run again"
fi
if [[ -x "$venv/bin/fairseq-train" ]]; then
    "$venv/bin/fairseq-train" --help >"$work/help.log" 2>&1 ||
        die "fairseq-train does not start in $venv ($(tail -n 1 "$work/help.log")); remove it and run again"
fi
clashes >"$work/clashes"
# In somebody's own environment, what clashed before is not this script's to judge.
if [[ "$(cat "$unfinished")" == found ]]; then
    before="$(LC_ALL=C comm -12 "$work/clashes.before" "$work/clashes")"
    ours="$(LC_ALL=C comm -13 "$work/clashes.before" "$work/clashes")"
    [[ -z "$before" ]] || note "clashes that were there before: $(paste -sd';' - <<<"$before")"
else
    ours="$(cat "$work/clashes")"
fi
[[ -z "$ours" ]] || die "packages in $venv clash ($(paste -sd';' - <<<"$ours")); choose another torch with --torch or a fresh folder with --venv"

{
    printf 'venv %s\n' "$venv"
    printf 'fairseq %s\n' "$fairseq"
    printf 'plugin %s\n' "$(inspect fingerprint "${files[@]}")"
    if [[ -s "$work/clashes" ]]; then sed 's/^/clash /' "$work/clashes"; fi
} >"$stamp.new"
mv "$stamp.new" "$stamp"
rm -f "$unfinished"
printf '%s\n' "$report"
note "ready after ${SECONDS} s; use it with: source $(printf '%q' "$venv/bin/activate")"
