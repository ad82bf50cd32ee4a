//! A node that was away for so long that the log it lacks is gone: it gets a snapshot, under load, and perhaps loses its
//! power just then.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others};
use crate::cluster::{Cluster, Node};

/// How long the load may take to fill the log so far that its beginning is dropped.
pub(super) const PURGED_WITHIN: Duration = Duration::from_secs(90);
/// How long the node may take to install the snapshot.
const INSTALLED_WITHIN: Duration = Duration::from_mins(1);
/// What a node logs then.
const INSTALLED: &str = "installed a snapshot";

struct InstallSnapshot {
    /// Whether the power goes as soon as the snapshot is there.
    loses_power: bool,
    away: Option<u64>,
    before: usize,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    [false, true].into_iter().map(|loses_power| {
        Box::new(InstallSnapshot { loses_power, away: None, before: 0 }) as Box<dyn Nemesis>
    })
}

fn installs(log: &Path) -> usize {
    let bytes = fs_err::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes).matches(INSTALLED).count()
}

/// What was not synced is gone; then the node starts again, as it must be able to.
async fn lose_power(node: &mut Node) -> anyhow::Result<()> {
    let image = node.image.as_ref().context("the node has no disk of its own")?;
    node.process.freeze().await?;
    image.cut_power()?;
    node.process.kill().await?;
    image.restore_power()?;
    node.process.start()
}

/// Waits until the leader has forgotten the log up to this entry; false if that takes too long.
pub(super) async fn wait_for_purge(cluster: &Cluster, beyond: u64) -> bool {
    let deadline = Instant::now() + PURGED_WITHIN;
    while Instant::now() < deadline {
        if cluster.views().leader().await.is_some_and(|view| view.info.purged > beyond) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
}

impl Nemesis for InstallSnapshot {
    fn name(&self) -> &'static str {
        if self.loses_power { "snapshot-power" } else { "snapshot-install" }
    }

    fn explain(&self) -> &'static str {
        if self.loses_power {
            "the same, and the node's power fails as soon as it has the snapshot: it must still have it then"
        } else {
            "one node is away until the log that it lacks is gone; it gets a snapshot while the load goes on"
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Peace
    }

    fn needs(&self) -> Needs {
        if self.loses_power { Needs::OwnDisksAndMajority } else { Needs::Majority }
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let cluster = &scene.cluster;
            let (leader, followers) = leader_and_others(cluster).await?;
            let id = draw(random, &followers);
            let views = cluster.views().all().await;
            let reached =
                views.iter().find(|view| view.node == leader).context("the leader is silent")?.info.last_log;
            let mut node = cluster.node(id).await;
            node.process.kill().await?;
            self.before = installs(node.process.log());
            drop(node);
            self.away = Some(id);
            let purged = wait_for_purge(cluster, reached).await;
            let word = if purged { "is gone" } else { "is still there: too little load" };
            Ok(Deed::new(vec![id], format!("node {id} was away; the log up to entry {reached} {word}")))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let Some(id) = self.away.take() else { return Ok(Ending::new(false, "no node was away")) };
            scene.cluster.node(id).await.process.start()?;
            let deadline = Instant::now() + INSTALLED_WITHIN;
            loop {
                let mut node = scene.cluster.node(id).await;
                if installs(node.process.log()) > self.before {
                    if self.loses_power {
                        lose_power(&mut node).await?;
                        return Ok(Ending::new(
                            true,
                            format!("node {id} installed a snapshot, and lost its power"),
                        ));
                    }
                    return Ok(Ending::new(true, format!("node {id} installed a snapshot")));
                }
                drop(node);
                if Instant::now() > deadline {
                    return Ok(Ending::new(false, format!("node {id} installed no snapshot")));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        .boxed()
    }
}
