# Sourced by the commands of this folder: a virtual environment with svdjax installed.
# Usage: . launch/venv.sh EXTRAS  (e.g. "" or "[test]"). PYTHON names the interpreter.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
venv=${VENV:-$root/.venv}
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'; then
  echo "error: $("$python" --version 2>&1) is not supported: set PYTHON to Python 3.11, 3.12 or 3.13" >&2
  exit 2
fi
stamp="$venv/installed$1"
if [ ! -e "$stamp" ] || [ setup.cfg -nt "$stamp" ]; then
  echo "installing svdjax$1 into $venv (about a minute)"
  [ -e "$venv/bin/python" ] || "$python" -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e ".$1"
  touch "$stamp"
fi
