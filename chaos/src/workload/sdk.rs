//! Processes that use the Python SDK as users do: functions, maps, single submits, results.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::shared::Shared;

/// The program.
const PROGRAM: &str = include_str!("sdk.py");
/// How long a last round may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// How many there are: users are not alone.
const PROCESSES: u64 = 2;

/// The running processes.
pub(crate) struct Sdks {
    processes: Vec<Sdk>,
}

/// One of them.
struct Sdk {
    log: PathBuf,
    child: Child,
    reader: JoinHandle<Totals>,
}

/// What they did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    /// Tasks whose right results they got.
    pub(crate) tasks: u64,
    /// Rounds in which the cluster did not answer in time.
    pub(crate) unavailable: u64,
}

impl Sdks {
    /// Starts them in `folder` with the interpreter of the environment that `raftwork` is in.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn start(folder: &Path, raftwork: &Path, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        fs_err::write(folder.join("sdk.py"), PROGRAM)?;
        let python = raftwork.with_file_name("python");
        let processes = (1..=PROCESSES).map(|number| Sdk::start(folder, &python, number, shared));
        Ok(Self { processes: processes.collect::<anyhow::Result<_>>()? })
    }

    /// Lets them end their rounds, and returns what they did.
    ///
    /// # Errors
    /// When one ended in another way than it should.
    pub(crate) async fn stop(self) -> anyhow::Result<Totals> {
        let totals = try_join_all(self.processes.into_iter().map(Sdk::stop)).await?;
        Ok(totals.into_iter().fold(Totals::default(), |sum, one| Totals {
            tasks: sum.tasks + one.tasks,
            unavailable: sum.unavailable + one.unavailable,
        }))
    }
}

impl Sdk {
    fn start(folder: &Path, python: &Path, number: u64, shared: &Arc<Shared>) -> anyhow::Result<Self> {
        let log = folder.join(format!("sdk{number}.log"));
        let mut command = Command::new(python);
        let seed = shared.seed.wrapping_add(number);
        command.arg("sdk.py").arg(shared.http.urls().join(",")).arg(seed.to_string());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs_err::File::create(&log)?.into_file())
            .kill_on_drop(true)
            .current_dir(folder);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", python.display()))?;
        let out = child.stdout.take().context("its output is piped")?;
        let reader = tokio::spawn(follow(BufReader::new(out).lines(), Arc::clone(shared)));
        Ok(Self { log, child, reader })
    }

    async fn stop(mut self) -> anyhow::Result<Totals> {
        drop(self.child.stdin.take());
        let status = match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status?,
            Err(_) => bail!("the SDK's last round did not end within {PATIENCE:?}"),
        };
        if !status.success() {
            bail!("a process of the SDK ended with {status}; see {}", self.log.display());
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
