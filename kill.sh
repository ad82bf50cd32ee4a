#!/usr/bin/env bash
# Kills processes of the running cluster under load, then checks that nothing was lost.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() {
  cat <<'USAGE'
usage: ./kill.sh [--rounds N] [--period SECONDS] [--only FAULT,...] [--load TASKS] [--seed N]

Needs a cluster that ./start.sh started in this folder. Loads it (tasks of 0.1 to 5 s on its workers, and some hundred
requests a second of every kind besides) while it kills processes (kill -9) and starts them again; then checks every answer.

  --rounds N        times that each fault is done (default 3)
  --period SECONDS  quiet time before a fault, and half of it before what was killed is started again (default 4)
  --only FAULT,...  which faults, in which order (default: all, in this order)
                      workers      random workers, up to half of them
                      leader       the leading node
                      all-workers  every worker at once
                      all-nodes    every node at once
  --load TASKS      unfinished tasks of 0.1 to 5 s to keep in the cluster (default 4 for each worker)
  --seed N          repeats the choices of an earlier run (not its timing)
  -h, --help        this text

The claims: every acknowledged task ends, and what completes has the right result (I1, I11, I15); it ends once, the same on
every node (I2, I8); tokens are unique and rise, and a task ends with its last run (I3, I4, I12); no task is run again whose
worker lived, whoever led (I16). docs/testing.md lists them all. It is `raftwork-chaos attach`, which knows more options.

Exit code: 0 every claim holds; 1 one does not (the story and the history are kept); 2 the run could not be made.
USAGE
}

wrong() {
  printf 'kill.sh: %s (./kill.sh -h explains)\n' "$1" >&2
  exit 2
}

faults=workers,leader,all-workers,all-nodes options=()
while (($#)); do
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --rounds | --period | --seed | --only | --load) (($# > 1)) || wrong "$1 needs a value" ;;
    *) wrong "unknown argument $1" ;;
  esac
  case "$1" in
    --only) faults="$2" ;;
    --load) options+=(--tasks "$2") ;;
    *) options+=("$1" "$2") ;;
  esac
  shift 2
done

# This script's own arguments, which a sourced file sees, are used up.
# shellcheck source=scripts/setup
source "$root/scripts/setup" || exit 2
folder="$(mktemp -d)" status=0
"$root/target/debug/raftwork-chaos" attach --raftwork "$root/.venv/bin/raftwork" --folder "$folder/run" \
  --break "$faults" "${options[@]}" || status=$?
# What was seen is the evidence, and stays where something was wrong.
if ((status == 0)); then rm -rf "$folder"; else printf 'everything that was seen is in %s\n' "$folder/run"; fi
exit "$status"
