#!/usr/bin/env bash
# Runs every test, after setting up whatever is missing.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
logs="$root/target/test-logs"

# ---------------------------------------------------------------- the steps: name, in --quick or not, what it shows

steps=(
  "fmt      quick  Rust code is formatted"
  "shell    quick  shell scripts pass shellcheck"
  "ruff     quick  Python code passes ruff"
  "types    quick  Python types hold, and the stubs describe the extension"
  "clippy   quick  Rust code passes clippy, without a warning"
  "rust     quick  tests of the Rust crates"
  "doctest  full   examples in Rust documentation"
  "docs     full   Rust documentation builds, without a warning"
  "python   quick  Python tests that need no cluster"
  "wheel    full   pip install . into a new environment"
  "cluster  full   Python tests on a real cluster"
  "examples full   the examples of the README"
  "local    full   local mode runs a function"
  "push     full   a short run of faults, workers in push mode"
  "pull     full   a short run of faults, workers in pull mode"
  "checks   full   the checkers are silent over a million right operations"
  "chaos    full   every fault that needs no root, on a cluster of its own"
  "sims     full   simulated clusters survive their faults, the same way every time"
  "mutants  full   some planted bugs are caught in simulations"
)

step_fmt() { cargo fmt --all --check; }
step_shell() { shellcheck --external-sources ./*.sh .ci/run scripts/{setup,openapi_fuzz,test_pythons} bench/run; }
step_ruff() { ruff check python scripts examples bench; }
step_types() {
  mypy
  MYPYPATH=python python -m mypy.stubtest raftwork._core
}
step_clippy() { cargo clippy --locked --workspace --all-targets -- -D warnings; }
step_rust() { cargo test --locked --workspace --no-fail-fast --lib --bins --tests; }
step_doctest() { cargo test --locked --workspace --doc; }
step_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps; }
step_python() { python -m pytest -m "not cluster" python/tests scripts/tests bench/tests; }
step_wheel() {
  local folder
  folder="$(mktemp -d)"
  python -m venv "$folder/venv"
  # The profile of everything else: a release build has nothing to show here that would be worth its time.
  MATURIN_PEP517_ARGS="--profile dev" "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$root"
  (cd "$folder" && venv/bin/raftwork --help && venv/bin/python -c 'import raftwork; print(raftwork.Client)')
  rm -rf "$folder"
}
step_cluster() { python -m pytest -m cluster python/tests; }
step_examples() { on_cluster push 2 3 run_examples; }
step_local() { on_cluster local 1 1 python "$root/examples/hello.py"; }
step_push() { on_cluster push 2 3 break_things; }
step_pull() { on_cluster pull 2 3 break_things; }
break_things() {
  "$root/target/debug/raftwork-chaos" attach --break workers,leader,all-workers,all-nodes --rounds 1 --period 1s --folder seen
}
step_checks() { cargo test --locked --workspace --test it -- --ignored a_million_operations; }
step_chaos() {
  local folder
  folder="$(mktemp -d)"
  # Networks, and disks that lose their power, need root; the rest is the same for everybody.
  "$root/target/debug/raftwork-chaos" run --minutes 1 --period 600ms --seed 1 --no-disks --no-networks --folder "$folder/run"
  rm -rf "$folder"
}

step_sims() {
  cargo build --locked --workspace --bin raftwork-sim
  "$root/target/debug/raftwork-sim" --seeds 1000..1040
  "$root/target/debug/raftwork-sim" --seeds 2000..2010 --twice
}

step_mutants() {
  # For the whole workspace, so that only crates of ours are compiled again, and those as fast as can be; and out of the way
  # of what has no bugs.
  local crate quick=(--config profile.dev.debug=false)
  for crate in kernel api node sim; do quick+=(--config "profile.dev.package.raftwork-$crate.opt-level=0"); done
  CARGO_INCREMENTAL=0 cargo build --locked --workspace --features raftwork-sim/mutants --bin raftwork-sim "${quick[@]}"
  mv "$root/target/debug/raftwork-sim" "$root/target/debug/raftwork-sim-mutants"
  "$root/target/debug/raftwork-sim-mutants" mutants --only M1,M3,M6,M9,M13,M16,M22,M24 --seeds 0..40 --seconds 30
}

run_examples() {
  local texts
  texts="$(python -c 'import json; print(json.__path__[0])')"
  python "$root/examples/hello.py"
  python "$root/examples/mandelbrot.py" --size 256 --tiles 16 --out mandelbrot.png
  python "$root/examples/wordcount.py" "$texts"
}

# on_cluster MODE WORKERS NODES COMMAND...: on a cluster of its own, in a folder of its own, stopped in any case.
on_cluster() {
  local folder mode="$1" workers="$2" nodes="$3" ready
  shift 3
  folder="$(mktemp -d)"
  cd "$folder"
  # Files are kept where something failed: the logs of the nodes are the evidence.
  trap 'raftwork dev stop || true' EXIT
  raftwork dev -d -m "$mode" -w "$workers" -n "$nodes" >ready.txt || { cat ready.txt && return 1; }
  ready="$(tail -n 1 ready.txt)"
  [[ "$ready" == "ready "* ]] || { printf 'no ready line: %s\n' "$ready" && return 1; }
  export RAFTWORK_URL="${ready#ready }"
  printf 'cluster at %s, files in %s\n' "$RAFTWORK_URL" "$folder"
  "$@"
  raftwork dev stop
  trap - EXIT
  cd "$root"
  rm -rf "$folder"
}

# ---------------------------------------------------------------- running them

usage() {
  cat <<'USAGE'
usage: ./test.sh [--quick] [STEP...]

Sets up what is missing, then runs every test; with STEP, only those. A step's output goes to target/test-logs/STEP.log;
its end is shown if the step fails. A failure does not stop the steps after it.

  --quick     only the steps that need no cluster and take little
  -h, --help  this text

USAGE
  local name quick what
  for step in "${steps[@]}"; do
    read -r name quick what <<<"$step"
    printf '  %-10s%-7s%s\n' "$name" "${quick/full/}" "$what"
  done
  printf '\nExit code: 0 every step passed; 1 one failed; 2 wrong usage.\n'
}

wrong() {
  printf 'test.sh: %s (./test.sh -h explains)\n' "$1" >&2
  exit 2
}

is_step() {
  local step
  for step in "${steps[@]}"; do
    if [[ "${step%% *}" == "$1" ]]; then return 0; fi
  done
  return 1
}

# A step runs in a process group of its own, so that a stop ends everything that it started.
child=""
stop_child() {
  trap - INT TERM HUP
  if [[ -n "$child" ]]; then
    kill -TERM -- "-$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  printf '\nstopped\n'
  exit 130
}

tenths() { printf '%d' $((${EPOCHREALTIME/[.,]/} / 100000)); }

# run_step NAME WHAT: prints one line, and the end of the log if it failed.
run_step() {
  local name="$1" what="$2" log="$logs/$1.log" status=0 word=ok begun took
  printf '%-10s%-58s' "$name" "$what"
  begun="$(tenths)"
  set -m # a process group for the step
  (
    set -euo pipefail
    cd "$root"
    "step_$name"
  ) >"$log" 2>&1 </dev/null &
  child=$!
  set +m
  wait "$child" || status=$?
  child=""
  took=$(($(tenths) - begun))
  if ((status)); then word=FAILED; fi
  printf '%-6s %5d.%d s\n' "$word" $((took / 10)) $((took % 10))
  if ((status)); then
    # What failed may stand far above the end.
    { grep -E '^test .* \.\.\. FAILED$|^FAILED |panicked at ' "$log" || true; } | head -n 20 | sed 's/^/    | /'
    tail -n 40 "$log" | sed 's/^/    | /'
    printf '    whole log: %s\n' "$log"
    failed+=("$name")
  fi
}

quick="" wanted=() failed=()
for argument in "$@"; do
  case "$argument" in
    -h | --help) usage && exit 0 ;;
    --quick) quick=1 ;;
    -*) wrong "unknown option $argument" ;;
    *)
      is_step "$argument" || wrong "unknown step $argument"
      wanted+=("$argument")
      ;;
  esac
done

# shellcheck source=scripts/setup
source "$root/scripts/setup" --tests || exit 1
export CARGO_TARGET_DIR="$root/target" RAFTWORKD="$root/target/debug/raftworkd" PATH="$root/.venv/bin:$PATH"
mkdir -p "$logs"
trap stop_child INT TERM HUP

begun=$SECONDS ran=0
for step in "${steps[@]}"; do
  read -r name speed what <<<"$step"
  if ((${#wanted[@]})) && [[ " ${wanted[*]} " != *" $name "* ]]; then continue; fi
  if [[ -n "$quick" && "$speed" != quick ]]; then continue; fi
  run_step "$name" "$what"
  ran=$((ran + 1))
done

printf '\n%d of %d steps passed in %d s' $((ran - ${#failed[@]})) "$ran" $((SECONDS - begun))
if ((${#failed[@]})); then
  printf '; failed: %s\n' "${failed[*]}"
  exit 1
fi
printf '\n'
