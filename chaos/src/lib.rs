//! `raftwork-chaos`: faults on real clusters, histories of what their clients saw, and checkers that trust neither.
//!
//! [`run`](run()) breaks a cluster and observes, [`history`] is what was observed, [`check`] judges it, [`report`] shows it to
//! people. Nothing here links the server or its state machine.

pub mod check;
mod cluster;
mod command;
pub mod history;
mod mutants;
mod nemesis;
pub mod report;
mod run;
mod workload;

pub use command::{CheckOptions, check_file, exit_code, print};
pub use mutants::{MutantsOptions, mutants};
pub use run::{
    AttachOptions, Options as RunOptions, Outcome as RunOutcome, attach, list as list_faults, run,
};
