//! What the checkers say of histories: right ones, wrong ones, and files that are none.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a panic is how a test says no")]

mod after;
mod histories;
mod long;
mod maps;
mod parts;
mod report;
mod script;
mod wrong;
