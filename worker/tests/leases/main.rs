//! A whole worker, with real Python children, against a leader that speaks the real protocol over real sockets.
#![expect(clippy::unwrap_used, reason = "helpers of a test fail as the test does")]

mod leader;
#[path = "../children/python.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "the helpers of another test binary, of which this one uses some"
)]
mod python;
mod worker;

mod fail_over;
mod leaving;
mod running;
