#!/bin/sh
# Make a virtual environment and install factorkit in it: sh tools/bootstrap.sh FOLDER EXTRA
#
# PYTHON=... chooses the interpreter. OLDEST=1 installs the lower bounds of pyproject.toml.
# What a fresh machine may lack is said in one sentence.

venv=$1
extra=$2
log=$venv/install.log

fail() {
    echo "factorkit: $*" >&2
    exit 1
}

old= bare= python=
for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
    version=$("$name" -c 'import platform; print(platform.python_version())' 2>/dev/null) || continue
    if ! "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        old=${old:-"$name is $version"}
    # Debian keeps ensurepip, which puts pip into an environment, in the package of venv.
    elif ! "$name" -c 'import venv, ensurepip' 2>/dev/null; then
        bare=${bare:-"$name ($version)"}
    else
        python=$name
        break
    fi
done
if [ -z "$python" ]; then
    [ -z "$bare" ] || fail "$bare has no venv module; install it (on Debian and Ubuntu: apt install python3-venv) and run make again."
    [ -z "$old" ] || fail "Python 3.11 or newer is needed, and $old; install a newer one, or name one with make PYTHON=/path/to/python."
    fail "Python 3.11 or newer is needed, and ${PYTHON:-python3} was not found; install it, or name one with make PYTHON=/path/to/python."
fi

# An environment that was moved, or whose Python is gone, is made anew.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv"
    reason=$("$python" -m venv "$venv" 2>&1) ||
        fail "no environment could be made in $venv: $(echo "$reason" | tail -n 1)"
fi

if [ -n "$OLDEST" ]; then
    PIP_CONSTRAINT=$venv/oldest.txt
    export PIP_CONSTRAINT
    "$venv/bin/python" tools/oldest.py >"$PIP_CONSTRAINT" || fail "tools/oldest.py failed."
fi

echo "Installing factorkit[$extra] into $venv: once, a few minutes (what pip says: $log)"
"$venv/bin/python" -m pip install --disable-pip-version-check -e ".[$extra]" >"$log" 2>&1 && exit 0
if grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ConnectionError|ProxyError|SSLError|Connection to .* timed out|Temporary failure in name resolution|from versions: none' "$log"; then
    fail "the packages could not be downloaded: connect to the network, or set PIP_INDEX_URL to an index that this machine reaches, and run make again."
fi
grep -E '^ *(ERROR|error):' "$log" | tail -n 5 >&2
fail "the packages could not be installed; what pip said is in $log."
