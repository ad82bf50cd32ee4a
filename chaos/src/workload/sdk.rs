//! A process that uses the Python SDK as a user does: functions, maps, single submits, results.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::shared::Shared;

/// The program.
const PROGRAM: &str = include_str!("sdk.py");
/// How long its last round may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// The running process.
pub(crate) struct Sdk {
    child: Child,
    reader: JoinHandle<Totals>,
}

/// What it did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    /// Tasks whose right results it got.
    pub(crate) tasks: u64,
    /// Rounds in which the cluster did not answer in time.
    pub(crate) unavailable: u64,
}

impl Sdk {
    /// Starts it in `folder` with the interpreter of the environment that `raftwork` is in.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(folder: &Path, raftwork: &Path, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let program = folder.join("sdk.py");
        fs_err::write(&program, PROGRAM)?;
        let log = fs_err::File::create(folder.join("sdk.log"))?.into_file();
        let python = raftwork.with_file_name("python");
        let mut command = Command::new(&python);
        command.arg(&program).arg(shared.http.urls().join(",")).arg(shared.seed.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .current_dir(folder);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", python.display()))?;
        let out = child.stdout.take().context("its output is piped")?;
        let reader = tokio::spawn(follow(BufReader::new(out).lines(), Arc::clone(shared)));
        Ok(Self { child, reader })
    }

    /// Lets it end its round, and returns what it did.
    ///
    /// # Errors
    /// When it ended in another way than it should.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Totals> {
        drop(self.child.stdin.take());
        let status = match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status?,
            Err(_) => bail!("the SDK's last round did not end within {PATIENCE:?}"),
        };
        if !status.success() {
            bail!("the SDK's process ended with {status}; see sdk.log");
        }
        Ok(self.reader.await?)
    }
}

async fn follow(mut lines: Lines<BufReader<ChildStdout>>, shared: Arc<Shared>) -> Totals {
    let mut totals = Totals::default();
    while let Ok(Some(line)) = lines.next_line().await {
        let told: Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(tasks) = told["tasks"].as_u64() {
            totals.tasks += tasks;
        } else if told["unavailable"].is_string() {
            totals.unavailable += 1;
        } else {
            shared.surprised(format!("the SDK says: {line}"));
        }
    }
    totals
}
