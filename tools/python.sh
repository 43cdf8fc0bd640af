#!/usr/bin/env bash
# Prints the Python to make .venv with: $PYTHON, or the first that is 3.11 or later and has the venv module.
# Says what to install where there is none. --below 3.13: an earlier one than that, for what newer ones cannot run.
# --newest: the newest there is.
set -euo pipefail

below=4.0 names="python3 python3.14 python3.13 python3.12 python3.11"
[ "${1:-}" != --below ] || below=$2
[ "${1:-}" != --newest ] || names="python3.14 python3.13 python3.12 python3.11 python3"

lacking=""
for python in ${PYTHON:-$names}; do
  command -v "$python" >/dev/null || continue
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < tuple(map(int, sys.argv[1].split("."))))' "$below" 2>/dev/null || continue
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v "$python"
    exit 0
  fi
  lacking=${lacking:-$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')}
done

if [ -n "$lacking" ]; then
  echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt-get install $lacking" >&2
else
  [ "$below" = 4.0 ] && which="or later" || which="or later, but before $below,"
  echo "Python 3.11 $which is needed. On Debian and Ubuntu: sudo apt-get install python3 python3-venv" >&2
  echo "If it is there under another name: make PYTHON=/path/to/python3 ..." >&2
fi
exit 1
