//! A node whose data folder is exchanged for an empty one: it has forgotten what it voted and acknowledged, and must not take
//! part as the node that it was. It gets its folder back.

use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw};
use crate::cluster::{Cluster, Node};

/// How long the node may take to learn from the others that they know it with another folder.
const ENDS_WITHIN: Duration = Duration::from_secs(20);
/// Exit code of a node that refuses its data folder.
const REFUSED: i32 = 3;

#[derive(Default)]
pub(super) struct EmptyFolder {
    node: Option<u64>,
    outcome: String,
    refused: bool,
    broken: Option<String>,
}

fn aside(node: &Node) -> PathBuf {
    node.data.with_extension("aside")
}

impl EmptyFolder {
    /// Starts the node on its empty folder, and waits for what it makes of it.
    async fn judge(&mut self, cluster: &Cluster, id: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + ENDS_WITHIN;
        cluster.node(id).await.process.start()?;
        while Instant::now() < deadline {
            if let Some(status) = cluster.node(id).await.process.exited()? {
                self.refused = status.code() == Some(REFUSED);
                self.outcome = format!("node {id} ended ({status})");
                return Ok(());
            }
            if cluster.views().is_ready(id).await {
                self.broken = Some(format!("node {id} serves, although its folder was emptied"));
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.outcome = format!("node {id} neither serves nor ends within {ENDS_WITHIN:?}");
        Ok(())
    }
}

impl Nemesis for EmptyFolder {
    fn name(&self) -> &'static str {
        "empty-folder"
    }

    fn explain(&self) -> &'static str {
        "a node starts on an empty folder in the place of its own; it must end, and not take part"
    }

    fn breaks(&self) -> Breaks {
        Breaks::Peace
    }

    fn needs(&self) -> Needs {
        Needs::Majority
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            *self = Self::default();
            let cluster = &scene.cluster;
            let id = draw(random, &cluster.ids());
            {
                let mut node = cluster.node(id).await;
                node.may_end = true;
                node.process.kill().await?;
                fs_err::rename(&node.data, aside(&node))?;
                self.node = Some(id);
            }
            self.judge(cluster, id).await?;
            Ok(Deed::new(vec![id], format!("node {id} was started on an empty folder")))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            if let Some(id) = self.node.take() {
                let mut node = scene.cluster.node(id).await;
                node.process.kill().await?;
                // The node makes the folder itself, if it gets so far.
                if node.data.exists() {
                    fs_err::remove_dir_all(&node.data)?;
                }
                fs_err::rename(aside(&node), &node.data)?;
                node.process.start()?;
            }
            let outcome = std::mem::take(&mut self.outcome);
            Ok(Ending::new(self.refused, outcome).with(self.broken.take()))
        }
        .boxed()
    }
}
