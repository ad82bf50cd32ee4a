# The front door: every recipe is a line that anyone can type.
set shell := ["bash", "-euo", "pipefail", "-c"]

# List the recipes.
default:
    @just --list

# The gate before a commit; changes nothing.
check:
    ./test.sh --quick

# Mend what tools can mend.
fix:
    source scripts/setup --tests && cargo fmt --all && cargo clippy --fix --allow-dirty --workspace --all-targets && .venv/bin/ruff check --fix python scripts examples

# Run every test, or only the named steps (just test rust python).
test *steps:
    ./test.sh {{ steps }}

# Rewrite the expectations of the kernel's golden scripts; read the difference before you commit it.
scripts:
    source scripts/setup && UPDATE_GOLDENFILES=1 cargo test -p raftwork-kernel

# Start a cluster: three nodes, two workers.
cluster *options:
    ./start.sh {{ options }}

# Kill processes of the running cluster and check that nothing was lost.
kill *options:
    ./kill.sh {{ options }}

# Licences, advisories and sources of dependencies (needs cargo-deny).
deny:
    cargo deny check
