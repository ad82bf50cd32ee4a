//! The Rust client of Raftwork.
//!
//! A [`Client`] keeps one framed connection to whichever node leads and finds the new leader when that changes. Every
//! request is repeated under the ids that the caller chose until it is answered or its patience is over, so a fail-over is
//! a pause, never a lost or doubled task. What people and scripts ask over plain HTTP is in [`Rest`].
//!
//! The crate knows the contract (`raftwork-api`) and cannot name the state machine behind it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use raftwork_api::kernel::{Submit, TaskOptions};
//! use raftwork_client::{Client, NewFunction, new_task_id};
//!
//! let client = Client::connect(["http://127.0.0.1:7001"])?;
//! let add = NewFunction::source("add", "def add(a, b):\n    return a + b\n");
//! let function = client.register(&add).await?;
//! let task = new_task_id();
//! let items = vec![(task, br#"{"args": [1, 2]}"#.as_slice().into())];
//! client.submit(Submit { function, options: TaskOptions::default(), items }, None).await?;
//! let record = client.result(task, Duration::from_secs(10)).await?;
//! println!("{:?}", record.outcome);
//! # Ok(())
//! # }
//! ```

mod client;
mod dial;
mod discovery;
mod error;
mod function;
mod map;
mod nodes;
mod payload;
mod rest;
mod runner;
mod session;
mod settings;
mod watch;

pub use client::Client;
pub use error::{
    CancelError, CancelMapError, ConnectError, RedriveError, RegisterError, RestError, ResultError,
    StatusError, SubmitError, Unavailable,
};
pub use function::NewFunction;
pub use map::NewMap;
pub use rest::{Answer, Rest};
pub use settings::Settings;
pub use watch::{Finished, FinishedTasks, Watcher};

use raftwork_api::kernel::{MapId, TaskId};

/// A fresh task id: a UUID of version 7, so that ids sort roughly by time of submission.
pub fn new_task_id() -> TaskId {
    TaskId::from(uuid::Uuid::now_v7())
}

/// A fresh map id. The ids of its items are made out of it: [`MapId::item`].
pub fn new_map_id() -> MapId {
    MapId::of(uuid::Uuid::now_v7())
}

/// As many fresh task ids, each one more than the one before: a random number of its own would cost each a system call.
pub fn new_task_ids(count: usize) -> Vec<TaskId> {
    /// The random bits at the end of a UUID of version 7.
    const RANDOM: u128 = (1 << 62) - 1;
    let first = uuid::Uuid::now_v7().as_u128();
    let id = |n: usize| (first & !RANDOM) | (first.wrapping_add(n as u128) & RANDOM);
    (0..count).map(|n| TaskId::from_u128(id(n))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_that_are_made_together_differ_and_are_of_version_7() {
        let ids = [new_task_ids(1000), new_task_ids(1000)].concat();
        assert!(ids.iter().all(|id| id.as_uuid().get_version_num() == 7));
        assert!(ids.iter().all(|id| id.as_uuid().get_variant() == uuid::Variant::RFC4122));
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2000);
    }
}
