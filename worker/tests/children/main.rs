//! Python children against a real Python: every way a task can end, and what is left afterwards.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot go on fails the test")]

#[expect(unreachable_pub, reason = "modules of a test binary have no outside")]
mod python;
#[expect(unreachable_pub, reason = "modules of a test binary have no outside")]
mod support;

mod calls;
mod endings;
mod errors;
mod output;
mod pool;
