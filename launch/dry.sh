# Sourced by the launchers of this folder: `run COMMAND …` prints the command and, unless --dry-run
# was the first option, runs it; `need NAME …` refuses unless these variables are set.
if [ "${1:-}" = --dry-run ]; then
  dry=1
  shift
fi

run() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
  [ -n "${dry:-}" ] || "$@"
}

need() {
  local name
  for name in "$@"; do
    if [ -z "${!name:-}" ]; then
      echo "error: $name is not set: see the head of $0" >&2
      exit 2
    fi
  done
}

usage() {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
  exit "$1"
}

# The shell words of a command, to be run by another shell.
words() {
  printf '%q ' "$@"
}
