#!/usr/bin/env bash
# A training run on TPUs of Google Kubernetes Engine, by xpk (pip install xpk). Settings are
# environment variables: CLUSTER, ZONE, TYPE (v5litepod-16, v5p-32, v6e-16, …), NAME of the workload,
# SLICES (1), SPOT=1 for preemptible nodes or RESERVATION, IMAGE to build on (python:3.12).
#
#   bash launch/gke.sh [--dry-run] create     the cluster
#   bash launch/gke.sh [--dry-run] doctor     processes, devices, a reduction over all hosts
#   bash launch/gke.sh [--dry-run] train --config … --workdir … [--config.FIELD=VALUE …]
#   bash launch/gke.sh [--dry-run] delete     the workload
#
# --workdir and the data must be on a volume that the pods mount (`xpk storage attach`). When nodes
# are taken away, the run saves and ends with 143 in place of 0, which Kubernetes would take for the
# end of the work; so the workload is started again (xpk does so for 42 and from 127 on) and resumes
# from --workdir. Five minutes are asked for saving; spot nodes may give no more than 30 seconds.
set -euo pipefail
. "$(dirname "$0")/dry.sh"
need CLUSTER ZONE
where=(--cluster="$CLUSTER" --zone="$ZONE")
workload() {
  need NAME TYPE
  run xpk workload create "${where[@]}" --workload="$NAME" --tpu-type="$TYPE" \
    --num-slices="${SLICES:-1}" --base-docker-image="${IMAGE:-python:3.12}" --script-dir=. \
    --max-restarts=100 --termination-grace-period-seconds=300 --command="pip install -q -e . 'jax[tpu]' && { $1 & $wait; }"
}
wait='trap "again=143; kill -TERM $!" TERM; wait $!; code=$?; [ -z "${again:-}" ] || wait $!; '
wait+='exit ${again:-$code}'
case "${1:-}" in
  create)
    need TYPE
    capacity=--on-demand
    [ -z "${SPOT:-}" ] || capacity=--spot
    [ -z "${RESERVATION:-}" ] || capacity=--reservation="$RESERVATION"
    run xpk cluster create "${where[@]}" --tpu-type="$TYPE" --num-slices="${SLICES:-1}" \
      "$capacity"
    ;;
  doctor) workload 'python launch/doctor.py --distributed' ;;
  train)
    shift
    workload "python -m svdjax.main --distributed $(words "$@")"
    ;;
  delete)
    need NAME
    run xpk workload delete "${where[@]}" --workload="$NAME"
    ;;
  *) usage 2 ;;
esac
