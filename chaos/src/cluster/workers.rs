//! Python workers of a run: real `raftwork worker` processes, half of them push and half pull.

use std::path::Path;

use super::process::{Process, Recipe};
use super::turn::{Held, Turn};
use super::{Cluster, Party};

/// All workers of a run.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Turn<Process>>,
}

impl Workers {
    /// Starts `count` workers of `cluster` with the `raftwork` program of one Python environment.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) fn start(
        cluster: &Cluster,
        raftwork: &Path,
        count: usize,
        slots: u16,
    ) -> anyhow::Result<Self> {
        let worker = |index: usize| -> anyhow::Result<Turn<Process>> {
            let name = format!("w{}", index + 1);
            let mode = if index.is_multiple_of(2) { "push" } else { "pull" };
            // All doors: one that is started again may find none of the first nodes.
            let (urls, slots) = (cluster.doors().join(","), slots.to_string());
            let arguments = ["worker", "--url", &urls, "--name", &name, "--mode", mode, "--slots", &slots];
            let mut process = Process::new(Recipe {
                program: raftwork.to_owned(),
                arguments: arguments.map(Into::into).into(),
                environment: Vec::new(),
                log: cluster.file(&format!("{name}.log")),
                folder: cluster.file(""),
                network: cluster.wires.network(Party::Workers),
                name,
            });
            process.start()?;
            Ok(Turn::new(process))
        };
        Ok(Self { workers: (0..count).map(worker).collect::<anyhow::Result<_>>()? })
    }

    /// No workers.
    pub(crate) const fn none() -> Self {
        Self { workers: Vec::new() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// One of them, alone.
    pub(crate) async fn worker(&self, index: usize) -> Held<'_, Process> {
        self.workers[index].lock().await
    }

    /// Resumes what is paused and starts what is gone.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) async fn heal(&self) -> anyhow::Result<()> {
        for worker in &self.workers {
            let mut worker = worker.lock().await;
            worker.resume()?;
            worker.start()?;
        }
        Ok(())
    }

    /// Kills all.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        for worker in &self.workers {
            worker.lock().await.kill().await?;
        }
        Ok(())
    }
}
