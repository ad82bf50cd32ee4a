//! Tests of the kernel as its users see it: entries in, replies, events and rows out.
//!
//! - `scripts` runs the conversations in `tests/scripts`, one scenario each.

mod scripts;
mod support;
