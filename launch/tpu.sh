#!/usr/bin/env bash
# A training run on a Cloud TPU pod slice, by gcloud. Settings are environment variables:
#   NAME of the slice, ZONE, TYPE (v5litepod-16, v5p-32, v6e-16, …), VERSION of its software
#   (v2-alpha-tpuv5-lite, v2-alpha-tpuv5, v2-alpha-tpuv6e); SPOT=1 for a preemptible one.
#
#   bash launch/tpu.sh [--dry-run] create     a slice at once
#   bash launch/tpu.sh [--dry-run] queue      a queued resource: waits until a slice is free
#   bash launch/tpu.sh [--dry-run] install    this folder and its packages on every host
#   bash launch/tpu.sh [--dry-run] doctor     processes, devices, a reduction over all hosts
#   bash launch/tpu.sh [--dry-run] train --config … --workdir … [--config.FIELD=VALUE …]
#   bash launch/tpu.sh [--dry-run] delete     the slice
#   bash launch/tpu.sh [--dry-run] dequeue    the queued resource and its slice
#
# Every host must see --workdir and the data under the same path: mount a Filestore first, or a bucket
# with a hierarchical namespace, since a checkpoint is finished by renaming its folder. `train` runs
# in the background with its output in svdjax/train.log of each host, so that it outlives the terminal;
# again after a preemption (`dequeue`, `queue` and `install` first) it resumes.
# PYTHON names the hosts' interpreter (python3), of 3.11 to 3.13.
set -euo pipefail
. "$(dirname "$0")/dry.sh"
need NAME ZONE
tpus=(gcloud compute tpus)
everywhere() { run "${tpus[@]}" tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="$1"; }
case "${1:-}" in
  create)
    need TYPE VERSION
    run "${tpus[@]}" tpu-vm create "$NAME" --zone="$ZONE" --accelerator-type="$TYPE" \
      --version="$VERSION" ${SPOT:+--spot}
    ;;
  queue)
    need TYPE VERSION
    run "${tpus[@]}" queued-resources create "$NAME" --node-id="$NAME" --zone="$ZONE" \
      --accelerator-type="$TYPE" --runtime-version="$VERSION" ${SPOT:+--spot}
    run "${tpus[@]}" queued-resources describe "$NAME" --zone="$ZONE"
    ;;
  install)
    run git archive --output=/tmp/svdjax.tar HEAD
    run "${tpus[@]}" tpu-vm scp /tmp/svdjax.tar "$NAME:/tmp/svdjax.tar" --zone="$ZONE" --worker=all
    everywhere "mkdir -p svdjax && tar -xf /tmp/svdjax.tar -C svdjax && cd svdjax && PYTHON=${PYTHON:-python3} && . launch/venv.sh '' && .venv/bin/pip install -q 'jax[tpu]'"
    ;;
  doctor) everywhere 'cd svdjax && .venv/bin/python launch/doctor.py --distributed' ;;
  train)
    shift
    everywhere "cd svdjax && nohup .venv/bin/python -m svdjax.main --distributed $(words "$@")>> train.log 2>&1 &"
    ;;
  delete)
    run "${tpus[@]}" tpu-vm delete "$NAME" --zone="$ZONE" --quiet
    ;;
  dequeue)
    run "${tpus[@]}" queued-resources delete "$NAME" --zone="$ZONE" --force --quiet
    ;;
  *) usage 2 ;;
esac
