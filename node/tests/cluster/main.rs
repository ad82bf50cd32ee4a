//! What a cluster promises, shown on real `raftworkd` processes that are killed, paused, damaged and lied to.
#![expect(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "tests; a message that nobody waits for is like any other"
)]

mod api;
mod bounds;
mod catch_up;
mod cluster;
mod crash;
mod daemon;
mod damage;
mod disk;
mod fail_over;
mod garbage;
mod hand_over;
mod leases;
mod members;
mod pause;
mod raw;
mod wait;
mod worker;
