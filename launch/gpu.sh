#!/usr/bin/env bash
# A training run on one machine with NVIDIA GPUs: one process that uses all of them, or those that
# CUDA_VISIBLE_DEVICES names.
#
#   bash launch/gpu.sh [--dry-run] install    the packages, into .venv
#   bash launch/gpu.sh [--dry-run] doctor     devices and a reduction over them
#   bash launch/gpu.sh [--dry-run] train --config … --workdir … [--config.FIELD=VALUE …]
#
# `train` runs in the background with its output in WORKDIR.log, so that it outlives the terminal.
set -euo pipefail
. "$(dirname "$0")/dry.sh"
case "${1:-}" in
  install)
    run python3 -m venv .venv
    run .venv/bin/pip install -q -e . 'jax[cuda12]'
    ;;
  doctor) run .venv/bin/python launch/doctor.py ;;
  train)
    shift
    log=train.log before=
    for option in "$@"; do
      case "$option" in --workdir=*) log="${option#--workdir=}.log" ;; esac
      [ "$before" != --workdir ] || log="$option.log"
      before=$option
    done
    run mkdir -p "$(dirname "$log")"
    run bash -c "nohup .venv/bin/python -m svdjax.main $(words "$@")>> $(words "$log")2>&1 &"
    ;;
  *) usage 2 ;;
esac
