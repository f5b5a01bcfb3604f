#!/usr/bin/env bash
# From a fresh machine to a green test run. --parity adds the comparisons with PyTorch and curation on
# Apache Beam, --slow the checks that take minutes; other options go to pytest. PyTorch brings
# gigabytes of CUDA on Linux, unless PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu is set.
set -euo pipefail
extras="[test]"
select=(-m "not slow")
options=()
for option in "$@"; do
  case "$option" in
    --parity)
      extras="[test,torch,curate]"
      export SVDJAX_PARITY=1 # what cannot be imported then fails its tests
      ;;
    --slow) select=() ;;
    *) options+=("$option") ;;
  esac
done
. "$(dirname "$0")/venv.sh" "$extras"
export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
export GLIBC_TUNABLES=${GLIBC_TUNABLES:-glibc.malloc.hugetlb=1}  # large pages: faster steps on CPU
exec "$venv/bin/python" -m pytest "${select[@]}" -n auto --maxprocesses 4 --dist loadfile \
  --durations=10 "${options[@]}"
