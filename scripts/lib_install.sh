# shellcheck shell=bash
# Sourced by setup.sh and build_wheelhouse.sh after lib.sh: choosing a Python, checking the machine, calling pip, building fairseq.

# A caller's settings for other installs must not leak into these: they redirect pip or drop fairseq's extensions.
unset PIP_NO_BUILD_ISOLATION PIP_USER PIP_TARGET PIP_PREFIX PIP_CONSTRAINT PIP_REQUIRE_VIRTUALENV READTHEDOCS
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

TEMPORARY="${TMPDIR:-/tmp}"
SUPPORTED="Python 3.10 to 3.13"

# python_version INTERPRETER: "CPython 3.11.7", or nothing if it does not run.
python_version() {
    "$1" -c 'import platform; print(platform.python_implementation() + " " + platform.python_version())' 2>/dev/null || true
}

is_supported() { [[ "$1" =~ ^CPython\ 3\.(10|11|12|13)\. ]]; }

# choose_python [INTERPRETER]: set interpreter to what is built on: the one named, or the first supported one on PATH.
# shellcheck disable=SC2034 # read by the scripts that source this file
choose_python() {
    local candidate version first=""
    if [[ -n "${1:-}" ]]; then
        version="$(python_version "$1")"
        [[ -n "$version" ]] || die "$1 does not run as a Python interpreter; name one of $SUPPORTED with --python"
        is_supported "$version" || die "$1 is $version, and $SUPPORTED is supported; name another with --python"
        interpreter="$(command -v "$1")"
        return
    fi
    for candidate in python3 python3.12 python3.11 python3.13 python3.10; do
        version="$(python_version "$candidate")"
        if is_supported "$version"; then
            interpreter="$(command -v "$candidate")"
            return
        fi
        first="${first:-$version}"
    done
    die "no supported Python on PATH (found ${first:-none}); install one of $SUPPORTED, or name it with --python"
}

# check_compiler INTERPRETER: fairseq's extensions need a C++ compiler and Python's headers; say so before anything is downloaded.
check_compiler() {
    local include platform minor cc cxx tool
    include="$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
    platform="$("$1" -c 'import sysconfig; print(sysconfig.get_path("platinclude"))')"
    minor="$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    cc="${CC:-$("$1" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}"
    cxx="${CXX:-$("$1" -c 'import sysconfig; print(sysconfig.get_config_var("CXX") or "c++")')}"
    for tool in "$cc" "$cxx"; do
        # Unquoted: CC and CXX may carry options. A C compiler without its C++ half passes "command -v" but not this.
        # shellcheck disable=SC2086
        printf '#include <vector>\nstd::vector<int> v;\n' | $tool -x c++ -fsyntax-only - >/dev/null 2>&1 ||
            die "no working C++ compiler (tried: $tool), and fairseq has C++ extensions; install one (Debian, Ubuntu: apt-get install g++; Fedora: dnf install gcc-c++; macOS: xcode-select --install) or name it in CC and CXX"
    done
    # shellcheck disable=SC2086
    printf '#include <Python.h>\n' | $cxx -x c++ -fsyntax-only -I"$include" -I"$platform" - >/dev/null 2>&1 ||
        die "the headers of Python $minor are missing, and fairseq's extensions need them; install python$minor-dev (Debian, Ubuntu) or python$minor-devel (Fedora), or name another Python with --python"
}

# writable FOLDER: whether something can be made in it; its permissions do not tell that to root, nor on every network's disk.
writable() {
    local probe
    probe="$(mktemp -d "$1/.writable.XXXXXX" 2>/dev/null)" && rm -r "$probe"
}

# check_project: pip writes into the project what it installs from there.
check_project() {
    writable "$ROOT" || die "cannot write to $ROOT, as pip must to install the plugin from there; copy the project to a folder that you can write to, and set it up there"
}

# check_temporary GB: pip unpacks and compiles there.
check_temporary() {
    writable "$TEMPORARY" || die "cannot write to $TEMPORARY, the folder for what is temporary; set TMPDIR to one that you can write to"
    check_space "$TEMPORARY" "$1" "set TMPDIR to a folder on another disk"
}

# check_space FOLDER GB [REMEDY]: the disk that will hold FOLDER (which need not exist yet) must have that much free.
check_space() {
    local folder="$1" free
    while [[ ! -d "$folder" ]]; do folder="$(dirname "$folder")"; done
    free="$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1048576) }')"
    [[ "$free" -ge "$2" ]] ||
        die "the disk of $folder has $free GB free and this needs $2 GB; free some, or ${3:-choose a folder on another disk}"
}

# free_space FOLDER...: "12 MB in FOLDER, ...".
free_space() {
    local folder line=""
    for folder in "$@"; do
        line+="${line:+, }$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }') MB in $folder"
    done
    printf '%s' "$line"
}

# explain_exit STATUS FOLDER...: what to say when a script ends in the middle of a command, which has said too little.
explain_exit() {
    local status="$1" full
    shift
    [[ "$status" -ne 0 && -z "$DIED" ]] || return 0
    if full="$(full_disk 64 "$@")"; then
        full="the disk of $full is full; free some space"
    else
        full="a command failed that should not (status $status, its words are above); solve that"
    fi
    (die "$full and run the same command again") || true
}

# settle_cache: pip makes its wheels in its cache, and ends where even root cannot write to that; without HOME it would
# make a folder named ~ where it is called. It works without a cache as well.
settle_cache() {
    local caches="${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}" folder
    folder="${PIP_CACHE_DIR:-${caches:+$caches/pip}}"
    if [[ -z "$folder" ]] || ! mkdir -p "$folder" 2>/dev/null || ! writable "$folder"; then export PIP_NO_CACHE_DIR=1; fi
}

# run_pip WHAT INTERPRETER ARGUMENTS...: pip, quietly, with a full log in $PIP_LOG; a failure ends in one sentence about WHAT.
run_pip() {
    local what="$1" python="$2" errors status=0
    shift 2
    settle_cache
    : >"$PIP_LOG"
    if [[ -t 2 ]]; then
        # On a terminal pip's own progress shows; what it says on failure is kept back and judged below.
        { errors="$("$python" -m pip "$@" --log "$PIP_LOG" 2>&1 >&3)" || status=$?; } 3>&2
    else
        errors="$("$python" -m pip "$@" --quiet --log "$PIP_LOG" 2>&1)" || status=$?
    fi
    [[ "$status" -ne 0 ]] || return 0
    errors+="$(cat "$PIP_LOG" 2>/dev/null || true)"
    has() { grep -qE "$1" <<<"$errors"; }
    words() { grep -oE "$1" <<<"$errors" | head -n 1; }
    local refused='(40[1-35-9]|4[1-9][0-9]|5[0-9][0-9]) (Client|Server) Error.* for url: [^ ]*|HTTP error [45][0-9][0-9] .*'
    local denied="(Permission denied|Read-only file system): '[^']*'|'[^']*': (Permission denied|Read-only file system)"
    local carry="carry the packages over with scripts/build_wheelhouse.sh"
    if has 'Errno 27|File too large'; then
        die "a file of $what is larger than this shell may write; raise its limit (ulimit -f) and run the same command again"
    elif has 'No space left on device|Errno 28|Disk quota exceeded'; then
        die "the disk filled up while installing $what (free now: $(free_space "$(dirname "$PIP_LOG")" "$TEMPORARY")); free some space, or set TMPDIR to a folder on another disk for what is temporary, and run the same command again"
    elif has 'DO NOT MATCH THE HASHES'; then
        die "the downloaded $what is not the published file (its checksum differs); check the package index that pip is set to use"
    elif has "error: command '.*(failed|not found)|Python\\.h: No such file"; then
        tail -n 15 "$PIP_LOG" >&2
        die "compiling $what failed; the compiler's words are above and in $PIP_LOG"
    elif has "$denied"; then
        die "pip may not write what it must for $what ($(words "$denied")); make that writable, or choose another folder"
    elif has 'Tunnel connection failed'; then
        die "the proxy that pip is told to use$(proxies) answers $(words 'Tunnel connection failed: [0-9]+[A-Za-z ]*' | cut -d ' ' -f 4-), so $what cannot be fetched; set https_proxy or PIP_PROXY to one that lets pip through (http://NAME:PASSWORD@HOST:PORT if it asks for a password), or $carry"
    elif has 'ProxyError|connect to proxy|Proxy URL|SOCKS support'; then
        die "the proxy that pip is told to use$(proxies) cannot be reached or is none for http, so $what cannot be fetched; correct or unset it, or $carry"
    elif has 'CERTIFICATE_VERIFY_FAILED'; then
        die "pip does not trust the certificate of its package index, or of a proxy on the way to it, so $what cannot be fetched; set PIP_CERT to the file with your site's certificates"
    elif has 'NewConnectionError|Max retries exceeded|name resolution|Network is unreachable|ConnectTimeout|ReadTimeout|Connection (refused|reset)'; then
        die "pip cannot reach its package index for $what; connect this machine (or set pip's proxy or index), or $carry"
    elif has "$refused"; then
        die "pip's package index, or a proxy on the way to it$(proxies), refuses $what ($(words "$refused")); set pip's index or proxy to one that you may use, or $carry"
    elif has 'not a trusted or secure host'; then
        die "pip ignores its package index because that is not https ($(words 'repository located at [^ ]*')); set PIP_TRUSTED_HOST to that host, or another index"
    elif has 'No matching distribution found|Could not find a version'; then
        die "pip's package index has no fitting version ($(words 'No matching distribution found for .*|Could not find a version that satisfies [^(]*')) for $("$python" -V); choose another version or another Python (--torch, --python)"
    fi
    tail -n 15 <<<"$errors" >&2
    die "pip could not install $what; its last words are above, all of them in $PIP_LOG"
}

# build_fairseq_wheel INTERPRETER FOLDER WORK: the patched fairseq as a wheel in FOLDER; WORK is an empty folder for the sources.
build_fairseq_wheel() {
    local python="$1" folder="$2" work="$3" source
    # Isolated build on purpose: a setup.py that sees torch tries extensions whose sources the sdist lacks.
    run_pip "fairseq's source" "$python" download --no-deps --no-binary fairseq --require-hashes \
        --requirement "$ROOT/requirements/fairseq.txt" --dest "$work"
    tar -xzf "$work"/fairseq-*.tar.gz -C "$work"
    source="$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'fairseq-*')"
    "$python" "$ROOT/scripts/patch_fairseq.py" "$source"
    run_pip "fairseq's extensions" "$python" wheel --no-deps --wheel-dir "$folder" "$source"
}
