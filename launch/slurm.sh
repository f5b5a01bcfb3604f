#!/usr/bin/env bash
# A training run on GPU nodes of a SLURM cluster, one process a GPU. Settings are environment
# variables: NODES (1), GPUS of a node (8), HOURS (24), PARTITION and ACCOUNT if the cluster wants
# them. Two minutes before its time is over a job gets SIGTERM, saves, ends and is queued again.
#
#   bash launch/slurm.sh [--dry-run] install  the packages, into .venv
#   bash launch/slurm.sh [--dry-run] doctor   processes, devices, a reduction over all nodes
#   bash launch/slurm.sh [--dry-run] train --config … --workdir … [--config.FIELD=VALUE …]
#
# This folder, --workdir and the data must be on a file system that all nodes see.
set -euo pipefail
. "$(dirname "$0")/dry.sh"
# What the job runs: srun in the background, so that the shell can hear SIGTERM. It is passed on by
# scancel, which signals the processes; srun itself would kill them.
job() {
  cat <<EOT
srun --kill-on-bad-exit=1 .venv/bin/python $1 &
trap 'again=1; scancel --signal=TERM "\$SLURM_JOB_ID"' TERM
wait \$!; code=\$?
[ -z "\$again" ] || { wait \$!; code=\$?; }
[ -z "\$again" ] || scontrol requeue "\$SLURM_JOB_ID"
exit \$code
EOT
}
submit() {
  run sbatch --job-name=svdjax --nodes="${NODES:-1}" --ntasks-per-node="${GPUS:-8}" \
    --gpus-per-node="${GPUS:-8}" --time="${HOURS:-24}:00:00" --requeue --signal=B:TERM@120 \
    --open-mode=append --output=slurm-%j.log ${PARTITION:+--partition="$PARTITION"} \
    ${ACCOUNT:+--account="$ACCOUNT"} --wrap="$(job "$1")"
}
case "${1:-}" in
  install)
    run python3 -m venv .venv
    run .venv/bin/pip install -q -e . 'jax[cuda12]'
    ;;
  doctor) submit 'launch/doctor.py --distributed' ;;
  train)
    shift
    submit "-m svdjax.main --distributed $(words "$@")"
    ;;
  *) usage 2 ;;
esac
