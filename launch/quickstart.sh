#!/usr/bin/env bash
# From a fresh machine to a video: installs, makes toy data, trains all stages at `tiny`, samples.
# Options go to launch/quickstart.py (--runs DIR). Run it again to go on where it ended.
set -euo pipefail
. "$(dirname "$0")/venv.sh" ""
exec "$venv/bin/python" launch/quickstart.py "$@"
