#!/usr/bin/env bash
# usage: make_venv.sh FOLDER
# A virtual environment with this package (editable), its tests' tools and the versions of constraints.txt.
# uv installs it: the one on the PATH, else one from PyPI. NO_UV=1 forces pip; PYTHON=... chooses the interpreter.
set -euo pipefail
venv=$1

find_python() {   # a shim on the PATH may exist without an interpreter behind it: run each candidate
  for p in "${PYTHON:-}" python3.11 python3.12 python3 python; do
    [ -n "$p" ] || continue
    "$p" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null || continue
    echo "$p"
    return
  done
  return 1
}

find_uv() {       # the uv on the PATH, else one that pip puts into the environment
  [ -z "${NO_UV:-}" ] || return 1
  command -v uv && return
  [ -x "$venv/bin/python" ] || return 1
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv >&2 || return 1
  echo "$venv/bin/uv"
}

if [ ! -x "$venv/bin/python" ]; then
  if python=$(find_python); then
    echo "making $venv with $("$python" --version)"
    "$python" -m venv "$venv"
  elif [ -z "${NO_UV:-}" ] && command -v uv >/dev/null; then
    echo "making $venv with a Python 3.11 that uv brings"
    uv venv --quiet --seed --python 3.11 "$venv"
  else
    echo "Python 3.11 or 3.12 is needed and neither was found on the PATH (set PYTHON=/path/to/python3.11)." >&2
    exit 1
  fi
fi

if uv=$(find_uv); then
  echo "installing into $venv with uv (3.8 GB on disk; about a minute once the packages are here)"
  # compiled now, as pip does: where PYTHONDONTWRITEBYTECODE is set, each start of TensorFlow would take 5 s more
  "$uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" -c constraints.txt -e '.[dev]'
else
  echo "installing into $venv with pip (3.8 GB on disk; three minutes and more)"
  pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt)
  "${pip[@]}" 'setuptools<70' wheel
  "${pip[@]}" --no-build-isolation -e '.[dev]'
fi

check='import petastorm, pyarrow, pyspark, numpy, bigearthnet_dd'
if ! "$venv/bin/python" -c "$check"; then
  echo "The packages installed but do not import together; remove $venv and try again." >&2
  exit 1
fi
echo "ready: source $venv/bin/activate puts the commands on the PATH"
