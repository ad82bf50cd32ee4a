//! Tests of the kernel as its users see it: entries in, replies, events and rows out.
//!
//! - `scripts` runs the conversations in `tests/scripts`, one scenario each;
//! - `model` compares the kernel with a naive model under random commands;
//! - `replica` compares a replica that lives on with one that is rebuilt from its rows;
//! - `fixtures` reads bytes that earlier builds wrote;
//! - `bounds` offers the largest numbers that there are.
//!
//! `PROPTEST_CASES=100000` makes the random tests look further.

mod bounds;
mod fixtures;
mod model;
mod replica;
mod scripts;
mod support;
