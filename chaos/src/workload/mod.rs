//! The load: many callers that do everything a cluster is for, each noting what it asks and what it learns.

mod caller;
mod cancel;
mod functions;
mod http;
mod parts;
mod raw_worker;
mod read;
mod register;
mod sdk;
mod shared;
mod steady;
mod stream;
mod submit;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinSet;

use self::caller::Caller;
use self::functions::Functions;
pub(crate) use self::register::Register;
pub(crate) use self::sdk::Sdks;
pub(crate) use self::shared::{Shared, Stage};

/// Tasks that are read once more on every node at the end; digests and log speak for all others.
const FINAL_READS: usize = 3_000;
/// Callers that do so, for each node.
const FINAL_READERS: usize = 4;

/// How many callers of each kind there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mix {
    /// Submit tasks, with keys and repeats.
    pub(crate) submitters: usize,
    /// Acquire, extend, complete, fail and release leases over plain HTTP.
    pub(crate) raw_workers: usize,
    /// Read status and result on every node.
    pub(crate) readers: usize,
    /// Submit and wait through the Rust client.
    pub(crate) streams: usize,
    /// Keep one task of 0.1 to 5 seconds unfinished, each; then Python workers have no others.
    pub(crate) steady: usize,
}

impl Default for Mix {
    fn default() -> Self {
        Self { submitters: 6, raw_workers: 6, readers: 6, streams: 2, steady: 0 }
    }
}

/// The running load.
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: JoinSet<()>,
    functions: Arc<Functions>,
}

impl Load {
    /// Registers the functions, whose effects are offered to a register at `offers`, and starts every caller.
    ///
    /// # Errors
    /// When the functions cannot be registered.
    pub(crate) async fn start(shared: Arc<Shared>, mix: Mix, offers: SocketAddr) -> anyhow::Result<Self> {
        let functions = Functions::register(&shared, offers, mix.steady > 0).await;
        let functions = Arc::new(functions.context("cannot register the functions")?);
        let mut callers = JoinSet::new();
        for _ in 0..mix.submitters {
            callers.spawn(submit::run(Caller::new(&shared), Arc::clone(&functions)));
        }
        for _ in 0..mix.raw_workers {
            callers.spawn(raw_worker::run(Caller::new(&shared)));
        }
        for _ in 0..mix.readers {
            callers.spawn(read::run(Caller::new(&shared)));
        }
        for _ in 0..mix.streams {
            callers.spawn(stream::run(Caller::new(&shared), Arc::clone(&functions)));
        }
        for _ in 0..mix.steady {
            callers.spawn(steady::run(Caller::new(&shared), Arc::clone(&functions)));
        }
        callers.spawn(parts::run(Caller::new(&shared), Arc::clone(&functions)));
        callers.spawn(cancel::run(Caller::new(&shared)));
        callers.spawn(functions::run(Caller::new(&shared)));
        Ok(Self { shared, callers, functions })
    }

    /// Submits one task, as often as it takes until it is acknowledged.
    pub(crate) async fn write(&self) {
        submit::one(&mut Caller::new(&self.shared), self.functions.raw).await;
    }

    /// Reads tasks once more on every node, after everything has ended.
    pub(crate) async fn read_everything(&self) {
        let tasks = self.shared.sample(FINAL_READS);
        let mut readers = JoinSet::new();
        for node in self.shared.http.ids() {
            for share in tasks.chunks(tasks.len().div_ceil(FINAL_READERS).max(1)) {
                readers.spawn(read::each(Caller::new(&self.shared), node, share.to_vec()));
            }
        }
        while readers.join_next().await.is_some() {}
    }

    /// Ends every caller, and waits until each has learnt what came of its last call.
    pub(crate) async fn stop(mut self) {
        self.shared.enter(Stage::Over);
        while self.callers.join_next().await.is_some() {}
    }
}
