#!/usr/bin/env bash
# Kills processes of the running cluster under load, then checks that nothing was lost.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() {
  cat <<'USAGE'
usage: ./kill.sh [--rounds N] [--period SECONDS] [--only FAULT,...] [--load TASKS] [--seed N]

Needs a cluster that ./start.sh started in this folder. Keeps tasks of 0.1 to 5 s running through the course contract
while it kills processes (kill -9) and starts them again; then checks every acknowledged task.

  --rounds N        times that each fault is done (default 3)
  --period SECONDS  quiet time before a fault, and half of it before what was killed is started again (default 4)
  --only FAULT,...  which faults, in which order (default: all, in this order)
                      workers      random workers, up to half of them
                      leader       the leading node
                      all-workers  every worker at once
                      all-nodes    every node at once
  --load TASKS      unfinished tasks to keep in the cluster (default 4 for each worker)
  --seed N          repeats the choices of an earlier run (not its timing)
  -h, --help        this text

The claims: every acknowledged task is COMPLETED with the right result; every task has one terminal record, the same on
every node and never changed; it ends with its last execution; fencing tokens are unique and rise; no task is run again
whose worker lived, whoever led; all nodes hold the same state. The tasks themselves note their executions in a file.

Exit code: 0 every claim holds; 1 one does not (the violations are listed); 2 the run could not be made.
USAGE
}

for argument in "$@"; do
  if [[ "$argument" == -h || "$argument" == --help ]]; then usage && exit 0; fi
done

# Explicitly no arguments: a sourced file would see this script's own.
# shellcheck source=scripts/setup
source "$root/scripts/setup" "" || exit 2
exec "$root/.venv/bin/python" "$root/scripts/kill_cluster.py" "$@"
