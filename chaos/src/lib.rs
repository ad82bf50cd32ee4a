//! `raftwork-chaos`: faults on real clusters, histories of what their clients saw, and checkers that trust neither.
//!
//! [`history`] is what was observed, [`check`] judges it, [`report`] shows it to people. Nothing here links the server or its state machine.

pub mod check;
mod command;
pub mod history;
pub mod report;

pub use command::{CheckOptions, check_file, exit_code, print};
