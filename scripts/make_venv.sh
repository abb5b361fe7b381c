#!/usr/bin/env bash
# usage: make_venv.sh FOLDER: a virtual environment with this package (editable), its tests' tools and the versions of constraints.txt
set -euo pipefail
venv=$1
find_python() {   # a shim on the PATH may exist without an interpreter behind it: run each candidate
  for p in "${PYTHON:-}" python3.11 python3.12 python3 python; do
    [ -n "$p" ] && "$p" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && { echo "$p"; return; }
  done
  return 1
}
if command -v uv >/dev/null && [ -z "${NO_UV:-}" ]; then
  [ -x "$venv/bin/python" ] || uv venv --quiet --python "$(find_python || echo 3.11)" "$venv"
  echo "installing into $venv with uv (about 2 GB of packages the first time)"
  VIRTUAL_ENV=$PWD/$venv uv pip install --quiet -c constraints.txt -e '.[dev]'
else
  python=$(find_python) || { echo "Python 3.11 or 3.12 is needed and neither was found on the PATH (set PYTHON=/path/to/python3.11)." >&2; exit 1; }
  [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
  echo "installing into $venv with pip (about 2 GB of packages the first time)"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --progress-bar off -c constraints.txt 'setuptools<70' wheel
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
fi
"$venv/bin/python" -c 'import petastorm, pyarrow, pyspark, numpy, bigearthnet_dd' || { echo "The packages installed but do not import together; remove $venv and try again." >&2; exit 1; }
