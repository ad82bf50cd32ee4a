//! One process of the cluster: started, stopped, killed, paused; its output kept in a file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::network;

/// How long a process that was asked to end may take: a hand-over, requests under way, a flush.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How long a process may take to stand still: its threads are told at once.
const FREEZE_PATIENCE: Duration = Duration::from_secs(5);

/// How to start a process.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// For people and for the names of files.
    pub(crate) name: String,
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// What is added to its environment.
    pub(crate) environment: Vec<(String, OsString)>,
    /// Where its output goes; appended to.
    pub(crate) log: PathBuf,
    /// Where it is started.
    pub(crate) folder: PathBuf,
    /// The network that it is started in, if not in everybody's.
    pub(crate) network: Option<PathBuf>,
}

/// A process that may or may not be running.
#[derive(Debug)]
pub(crate) struct Process {
    recipe: Recipe,
    child: Option<Child>,
    paused: bool,
}

impl Process {
    /// A process that is not running yet.
    pub(crate) const fn new(recipe: Recipe) -> Self {
        Self { recipe, child: None, paused: false }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Where its output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.recipe.log
    }

    /// Its id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// At which places of its code it crashes when it is started next, if at any.
    pub(crate) fn set_failpoints(&mut self, setting: Option<&str>) {
        let name = "FAILPOINTS";
        self.recipe.environment.retain(|(known, _)| known != name);
        self.recipe.environment.extend(setting.map(|setting| (name.to_owned(), setting.into())));
    }

    /// What it is started with from now on.
    pub(crate) fn set_arguments(&mut self, arguments: impl IntoIterator<Item = String>) {
        self.recipe.arguments = arguments.into_iter().map(Into::into).collect();
    }

    /// Whether it was paused and not resumed.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Starts it, if it is not running.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        if self.is_running()? {
            return Ok(());
        }
        let Recipe { name, program, arguments, environment, log, folder, network } = &self.recipe;
        let out = fs_err::OpenOptions::new().create(true).append(true).open(log)?.into_file();
        let enter = |network: &PathBuf| Command::from(network::enter(network, program));
        let mut command = network.as_ref().map_or_else(|| Command::new(program), enter);
        command.args(arguments).envs(environment.iter().map(|(key, value)| (key, value))).current_dir(folder);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out).kill_on_drop(true).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}: {}", program.display()))?;
        (self.child, self.paused) = (Some(child), false);
        Ok(())
    }

    /// Whether it runs (or is paused).
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.is_some() && self.exited()?.is_none())
    }

    /// How it ended, if it was started and has ended.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.paused = false;
        if let Some(mut child) = self.child.take() {
            child.kill().await.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })?;
        }
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        if !self.is_running()? {
            self.child = None;
            return Ok(());
        }
        self.resume()?;
        self.signal(Signal::TERM)?;
        let Some(child) = &mut self.child else { return Ok(()) };
        match tokio::time::timeout(STOP_PATIENCE, child.wait()).await {
            Ok(status) => {
                status?;
                self.child = None;
                Ok(())
            }
            Err(_) => bail!("{} did not end within {STOP_PATIENCE:?} of SIGTERM", self.recipe.name),
        }
    }

    /// `SIGSTOP`: it keeps its connections and does nothing.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn pause(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        Ok(())
    }

    /// `SIGSTOP`, if it runs, and waits until no thread of it can do anything more but end a system call.
    ///
    /// # Errors
    /// When the system refuses, or it does not stand still.
    pub(crate) async fn freeze(&mut self) -> anyhow::Result<()> {
        if !self.is_running()? {
            return Ok(());
        }
        self.pause()?;
        let deadline = Instant::now() + FREEZE_PATIENCE;
        while self.pid().is_some_and(is_at_work) {
            ensure!(Instant::now() < deadline, "{} does not stand still after SIGSTOP", self.recipe.name);
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// `SIGCONT`, if it was paused.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn resume(&mut self) -> anyhow::Result<()> {
        if self.paused {
            self.signal(Signal::CONT)?;
            self.paused = false;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.with_context(|| format!("{} is not running", self.recipe.name))?;
        kill_process(pid, signal).with_context(|| format!("cannot send {signal:?} to {}", self.recipe.name))
    }
}

/// Whether some thread of a process is neither stopped nor asleep in a system call that no signal ends, which it does not come
/// back from while it is to stop.
fn is_at_work(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stat = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    // "123 (name) T ...": the name may hold anything.
    let state = |stat: &String| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    stat.map(|stat| state(&stat)).any(|state| !matches!(state, Some('T' | 't' | 'D' | 'Z' | 'X')))
}

fn gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::InvalidInput
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frozen_process_does_nothing_until_it_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let count = "while :; do echo; done".to_owned();
        let recipe = Recipe {
            name: "counter".to_owned(),
            program: "sh".into(),
            arguments: ["-c".to_owned(), count].map(Into::into).into(),
            environment: Vec::new(),
            log: folder.path().join("log"),
            folder: folder.path().to_owned(),
            network: None,
        };
        let mut process = Process::new(recipe);
        process.freeze().await.unwrap();
        process.start().unwrap();
        let written = || std::fs::metadata(folder.path().join("log")).map_or(0, |log| log.len());
        while written() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        process.freeze().await.unwrap();
        let before = written();
        sleep(Duration::from_millis(20)).await;
        assert_eq!(written(), before);
        process.resume().unwrap();
        while written() == before {
            sleep(Duration::from_millis(1)).await;
        }
        process.kill().await.unwrap();
    }
}
