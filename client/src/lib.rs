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
mod rest;
mod runner;
mod session;
mod settings;
mod watch;

pub use client::Client;
pub use error::{
    CancelError, ConnectError, RegisterError, RestError, ResultError, StatusError, SubmitError, Unavailable,
};
pub use function::NewFunction;
pub use rest::{Answer, Rest};
pub use settings::Settings;
pub use watch::{Finished, FinishedTasks, Watcher};

use raftwork_api::kernel::TaskId;

/// A fresh task id: a UUID of version 7, so that ids sort roughly by time of submission.
pub fn new_task_id() -> TaskId {
    TaskId::from(uuid::Uuid::now_v7())
}
