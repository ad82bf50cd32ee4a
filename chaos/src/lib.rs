//! `raftwork-chaos`: faults on real clusters, histories of what their clients saw, and checkers that trust neither.
//!
//! [`history`] is what was observed, [`check`] judges it. Nothing here links the server or its state machine.

pub mod check;
pub mod history;
