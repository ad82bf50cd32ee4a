//! The cluster that `raftwork dev` started in the current folder: what it consists of, and how to kill that.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::Value;
use tokio::process::Command;

/// Processes of a cluster that `raftwork dev` started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Target {
    /// Some workers, up to half of them.
    Workers,
    /// The leading node.
    Leader,
    /// Every worker.
    AllWorkers,
    /// Every node.
    AllNodes,
}

impl Target {
    /// Its name in histories.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Workers => "dev-kill-workers",
            Self::Leader => "dev-kill-leader",
            Self::AllWorkers => "dev-kill-all-workers",
            Self::AllNodes => "dev-kill-all-nodes",
        }
    }

    /// Whom to kill.
    pub(super) fn choose(self, dev: &Dev, random: &mut StdRng) -> Vec<String> {
        let workers = dev.workers.iter().map(|worker| worker.name.clone());
        match self {
            Self::Workers => {
                let workers: Vec<String> = workers.collect();
                let count = random.random_range(1..=workers.len().div_ceil(2).max(1));
                workers.choose_multiple(random, count).cloned().collect()
            }
            Self::Leader => vec!["leader".to_owned()],
            Self::AllWorkers => workers.collect(),
            Self::AllNodes => dev.nodes.clone(),
        }
    }
}

struct Worker {
    name: String,
    pid: Option<u32>,
}

/// The cluster, as it was last looked at.
pub(super) struct Dev {
    program: PathBuf,
    nodes: Vec<String>,
    urls: Vec<String>,
    workers: Vec<Worker>,
}

impl Dev {
    /// Asks `program` for it.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn find(program: PathBuf) -> anyhow::Result<Self> {
        let mut dev = Self { program, nodes: Vec::new(), urls: Vec::new(), workers: Vec::new() };
        dev.look().await?;
        ensure!(!dev.nodes.is_empty(), "no cluster runs in this folder; start one: raftwork dev -d");
        Ok(dev)
    }

    /// Asks again: what was started again has another process id.
    ///
    /// # Errors
    /// When the answer makes no sense.
    pub(super) async fn look(&mut self) -> anyhow::Result<()> {
        let status = self.run("status", &[]).await?;
        let processes =
            status["processes"].as_array().context("`raftwork dev status --json` is not understood")?;
        (self.nodes, self.urls, self.workers) = (Vec::new(), Vec::new(), Vec::new());
        for process in processes {
            let name = process["name"].as_str().context("a process without a name")?.to_owned();
            if let Some(url) = process["url"].as_str() {
                self.nodes.push(name);
                self.urls.push(url.to_owned());
            } else {
                let pid = process["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
                self.workers.push(Worker { name, pid });
            }
        }
        Ok(())
    }

    /// Base URLs of its nodes.
    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Number of its workers.
    pub(super) const fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Process ids of those of these names that are workers.
    pub(super) fn worker_pids(&self, names: &[String]) -> Vec<u32> {
        let chosen = self.workers.iter().filter(|worker| names.contains(&worker.name));
        chosen.filter_map(|worker| worker.pid).collect()
    }

    /// Kills (`kill -9`), and returns the names of what was killed.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) async fn kill(&self, names: &[String]) -> anyhow::Result<Vec<String>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let told = self.run("kill", names).await?;
        let killed = told.as_array().into_iter().flatten();
        Ok(killed.filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect())
    }

    /// Starts what was killed again, with its old data.
    ///
    /// # Errors
    /// When it cannot be.
    pub(super) async fn restart(&self, names: &[String]) -> anyhow::Result<()> {
        if !names.is_empty() {
            self.run("restart", names).await?;
        }
        Ok(())
    }

    async fn run(&self, verb: &str, names: &[String]) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.program);
        // Names right after the verb: argparse of older Pythons takes none behind an option.
        let done = command.args(["dev", verb]).args(names).arg("--json").output().await?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "`raftwork dev {verb}` failed: {}", said.trim());
        serde_json::from_slice(&done.stdout)
            .with_context(|| format!("`raftwork dev {verb}` did not print JSON"))
    }
}
