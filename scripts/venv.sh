#!/bin/sh
# Makes a virtual environment with the packages that one of requirements/*.txt names, unless it is there already.
#
#   scripts/venv.sh SET [DIRECTORY]     SET: demo, dev, bench or lock; DIRECTORY: .venv
#   scripts/venv.sh --pythons           lists every Python >= 3.11 of this machine: version, then path
#
# PYTHON= names the interpreter. Everything that is downloaded has its hash checked; nothing is compiled.
set -u
cd "$(dirname "$0")/.." || exit 1

fail() {
    printf 'cenote: %s\n' "$1" >&2
    exit 1
}

# Prints "3.11.7" for an interpreter that runs, nothing for one that does not.
version_of() {
    "$1" -c 'import sys; sys.stdout.write("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null
}

new_enough() {
    case "$1" in
        3.1[1-9].*|3.[2-9][0-9].*|[4-9].*) return 0 ;;
        *) return 1 ;;
    esac
}

complete() {
    "$1" -c 'import ensurepip, ssl, venv' 2>/dev/null
}

list_pythons() {
    {
        for name in python3.11 python3.12 python3.13 python3.14 python3 ${PYTHON:+"$PYTHON"}; do
            command -v "$name" 2>/dev/null
        done
        for path in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
            [ -x "$path" ] && printf '%s\n' "$path"
        done
    } | while read -r path; do
        version=$(version_of "$path")
        if new_enough "$version" && complete "$path"; then
            printf '%s %s\n' "$version" "$path"
        fi
    done | sort -t . -k 1,1n -k 2,2n -k 3,3n | awk '!seen[$1]++'
}

# Sets $python and $found, or ends with the sentence that says what is missing.
choose_python() {
    older='' partial=''
    if [ -n "${PYTHON:-}" ]; then
        candidates=$PYTHON
    else
        candidates='python3.13 python3.14 python3.12 python3.11 python3'
    fi
    for python in $candidates; do
        found=$(version_of "$python")
        if [ -z "$found" ]; then
            continue
        elif ! new_enough "$found"; then
            older="$python is $found"
        elif ! complete "$python"; then
            partial="$python $found"
        else
            return 0
        fi
    done
    if [ -n "$partial" ]; then
        minor=$(printf '%s' "${partial##* }" | cut -d . -f 2)
        fail "${partial} lacks the modules venv, ensurepip or ssl; on Debian or Ubuntu: apt install python3.$minor-venv"
    elif [ -n "$older" ]; then
        fail "Python 3.11 or newer is needed, but $older; install one, or name one: make PYTHON=/path/to/python3.11"
    elif [ -n "${PYTHON:-}" ]; then
        fail "PYTHON=$PYTHON does not run; name a Python 3.11 or newer"
    fi
    fail "Python 3.11 or newer is needed and no python3 was found; install one, or name one: make PYTHON=/path/to/python3.11"
}

# Ends with one sentence that says why pip failed; where pip knows better, below the end of its own output.
explain() {
    if grep -qE 'NewConnectionError|ConnectTimeout|ReadTimeout|ConnectionReset|ProxyError|Failed to establish|name resolution' "$1"; then
        fail 'the packages could not be downloaded because the package index cannot be reached; check the network (or the proxy and index settings of pip) and run it again'
    fi
    printf '%s\n' "pip's last lines:" >&2
    grep -v '^WARNING: ' "$1" | tail -n 8 | sed 's/^/    /' >&2
    if grep -q 'DO NOT MATCH THE HASHES' "$1"; then
        fail "a downloaded package is not the one that $lock names; nothing was installed"
    elif grep -q 'No matching distribution' "$1"; then
        fail "the package index has no prebuilt package for Python $found on this machine; try another Python: make PYTHON=/path/to/python3.11"
    elif grep -q 'No space left' "$1"; then
        fail 'the disk is full'
    fi
    fail 'pip could not install the packages'
}

pip_install() {
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --retries 2 "$@" >>"$log" 2>&1 \
        || explain "$log"
}

if [ "${1:-}" = --pythons ]; then
    list_pythons
    exit 0
fi

set=${1:?name the set of packages: demo, dev, bench or lock}
venv=${2:-.venv}
lock=requirements/$set.txt
[ -f "$lock" ] || fail "there is no $lock"

# A stamp is a copy of what was installed; dev holds all of demo.
current() {
    cmp -s "$lock" "$venv/$set.txt" || { [ "$set" = demo ] && cmp -s requirements/dev.txt "$venv/dev.txt"; }
}

here=''
# Its scripts carry the folder they were made in, so an environment that was moved is made anew.
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/place" 2>/dev/null)" = "$PWD" ]; then
    here=$(version_of "$venv/bin/python")
    # An interpreter that was named wins over the one that made the environment.
    if [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$here" ]; then
        here=''
    fi
fi
if [ -n "$here" ] && current && cmp -s pyproject.toml "$venv/pyproject.toml"; then
    exit 0
fi

log=$(mktemp) || fail 'no temporary file can be made'
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

if [ -z "$here" ]; then
    choose_python
    printf 'cenote: making %s with Python %s and %s package(s) from %s (once; a minute or so) ...\n' \
        "$venv" "$found" "$(grep -c == "$lock")" "$lock"
    "$python" -m venv --clear "$venv" >"$log" 2>&1 || { tail -n 5 "$log" >&2; fail "$venv could not be made (see above)"; }
    printf '%s\n' "$PWD" >"$venv/place"
else
    found=$here
    printf 'cenote: bringing %s (Python %s) up to date with %s ...\n' "$venv" "$found" "$lock"
fi
if ! current; then
    pip_install --require-hashes --only-binary :all: -r "$lock"
    # All sets of one tree agree on versions; a stamp from another tree's set no longer tells what is installed.
    for stamp in "$venv"/*.txt; do
        [ -f "$stamp" ] && ! cmp -s "$stamp" "requirements/${stamp##*/}" && rm -f "$stamp"
    done
    cp "$lock" "$venv/$set.txt"
fi
if [ "$set" != lock ]; then
    # The library itself, from this folder, built by the hatchling that the lock file names.
    pip_install --no-index --no-deps --no-build-isolation -e .
fi
cp pyproject.toml "$venv/pyproject.toml"
