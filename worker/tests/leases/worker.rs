//! The worker under test, and the files by which its tasks and the test meet.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use raftwork_api::Span;
use raftwork_api::kernel::Millis;
use raftwork_worker::{ExitReason, Shutdown, ShutdownHandle, WorkerConfig, WorkerError, run};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::leader::{DEADLINE, Leader};
use crate::python;

pub(crate) struct Worker {
    task: JoinHandle<Result<ExitReason, WorkerError>>,
    pub(crate) shutdown: ShutdownHandle,
}

pub(crate) fn config<'a>(leaders: impl IntoIterator<Item = &'a Leader>, slots: u16) -> WorkerConfig {
    let urls = leaders.into_iter().map(|leader| leader.url.clone());
    WorkerConfig {
        slots,
        grace: Span(Millis(500)),
        ..WorkerConfig::new(urls, python::python(), python::package_dir())
    }
}

impl Worker {
    pub(crate) fn start(config: WorkerConfig) -> Self {
        let (shutdown, requests) = Shutdown::manual();
        Self { task: tokio::spawn(run(config, requests)), shutdown }
    }

    /// Waits until it has left.
    pub(crate) async fn left(self) -> ExitReason {
        timeout(DEADLINE, self.task).await.expect("the worker leaves in time").unwrap().unwrap()
    }
}

/// A folder in which a task says that it runs, and waits to be let go.
pub(crate) struct Gate {
    folder: TempDir,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A function that notes its process id, and returns "through" when the gate is open.
    pub(crate) fn source(&self) -> String {
        let folder = self.folder.path().display();
        format!(
            "def f():
    import os, time
    with open('{folder}/runs', 'a') as runs:
        runs.write(str(os.getpid()) + '\\n')
    while not os.path.exists('{folder}/open'):
        time.sleep(0.005)
    return 'through'
"
        )
    }

    pub(crate) fn open(&self) {
        std::fs::write(self.path("open"), "").unwrap();
    }

    /// Process ids of the runs so far.
    pub(crate) fn runs(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(self.path("runs")).unwrap_or_default();
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).collect()
    }

    /// Waits for the first run.
    pub(crate) async fn entered(&self) -> u32 {
        eventually("the task runs", || !self.runs().is_empty()).await;
        self.runs()[0]
    }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process runs; one that is dead and was not waited for does not.
pub(crate) fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}
