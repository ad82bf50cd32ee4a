#!/usr/bin/env bash
# Starts a Raftwork cluster on this machine, after setting up whatever is missing.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

usage() {
  cat <<'USAGE'
usage: ./start.sh [-m push|pull|local] [-w WORKERS] [-n NODES]

Sets up what is missing, then starts a cluster on this machine and stays in the foreground until Ctrl-C.

  -m MODE     push   the leader sends tasks to workers that have free slots (default)
              pull   workers ask for tasks
              local  one node with its workers, nothing else
  -w WORKERS  number of worker processes (default 2)
  -n NODES    number of nodes (default 3; local mode: always 1)
  -h          this text

Functions may be pickled by reference: workers find modules in the folder where start.sh was started.
Data lies in ./.raftwork of that folder (local: ./.raftwork-local); a second start finds it again. The last line says
where the cluster is:

  ready http://127.0.0.1:7001,http://127.0.0.1:7002,http://127.0.0.1:7003

Exit code: 0 stopped by Ctrl-C or TERM; 1 something failed (the reason is printed); 2 wrong usage.
USAGE
}

wrong() {
  printf 'start.sh: %s (./start.sh -h explains)\n' "$1" >&2
  exit 2
}

mode=push workers=2 nodes=3
while getopts ':m:w:n:h' option; do
  case "$option" in
    m) mode="$OPTARG" ;;
    w) workers="$OPTARG" ;;
    n) nodes="$OPTARG" ;;
    h) usage && exit 0 ;;
    :) wrong "-$OPTARG needs a value" ;;
    *) wrong "unknown option -$OPTARG" ;;
  esac
done
shift $((OPTIND - 1))
(($# == 0)) || wrong "unexpected argument $1"
[[ "$mode" =~ ^(push|pull|local)$ ]] || wrong "-m must be push, pull or local, not $mode"
[[ "$workers" =~ ^[0-9]+$ ]] || wrong "-w must be a number, not $workers"
[[ "$nodes" =~ ^[1-9][0-9]*$ ]] || wrong "-n must be a number from 1, not $nodes"
if [[ "$mode" == local ]]; then nodes=1; fi

# shellcheck source=scripts/setup
source "$root/scripts/setup" || exit 1

# The daemon that was just built, unless another is asked for.
export RAFTWORKD="${RAFTWORKD:-$root/target/debug/raftworkd}"
# exec: Ctrl-C and TERM reach the process that knows how to stop the cluster in order.
exec "$root/.venv/bin/raftwork" dev -m "$mode" -w "$workers" -n "$nodes" --path "$PWD"
