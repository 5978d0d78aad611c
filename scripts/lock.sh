#!/bin/sh
# Resolves requirements/*.txt for every supported Python and system at once: names, versions and hashes, no addresses.
set -eu
cd "$(dirname "$0")/.."

lock() {
    name=$1
    shift
    .venv-lock/bin/uv pip compile pyproject.toml "$@" --upgrade --no-config --quiet --universal --python-version 3.11 \
        --generate-hashes --no-header --no-annotate --output-file "requirements/$name.txt" >/dev/null
    if grep -nE '://|^-' "requirements/$name.txt"; then
        echo "requirements/$name.txt names an address (above)" >&2
        exit 1
    fi
    echo "requirements/$name.txt: $(grep -c == "requirements/$name.txt") packages"
}

# The sets share one environment, so they agree on every version: dev first, the others within it.
lock dev --extra all --group dev
lock demo --extra all --group demo --constraints requirements/dev.txt
lock bench --extra all --group bench --constraints requirements/dev.txt
lock lock --group lock
