//! A node that was away for so long that the log it lacks is gone: it gets a snapshot, under load.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others};
use crate::cluster::Cluster;

/// How long the load may take to fill the log so far that its beginning is dropped.
const PURGED_WITHIN: Duration = Duration::from_secs(90);
/// How long the node may take to install the snapshot.
const INSTALLED_WITHIN: Duration = Duration::from_mins(1);
/// What a node logs then.
const INSTALLED: &str = "installed a snapshot";

#[derive(Default)]
pub(super) struct InstallSnapshot {
    away: Option<u64>,
    before: usize,
}

fn installs(log: &Path) -> usize {
    let bytes = fs_err::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes).matches(INSTALLED).count()
}

async fn wait_for_purge(cluster: &Cluster, beyond: u64) -> bool {
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
        "snapshot-install"
    }

    fn explain(&self) -> &'static str {
        "one node is away until the log that it lacks is gone; it gets a snapshot while the load goes on"
    }

    fn breaks(&self) -> Breaks {
        Breaks::Peace
    }

    fn needs(&self) -> Needs {
        Needs::Majority
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
                let node = scene.cluster.node(id).await;
                if installs(node.process.log()) > self.before {
                    return Ok(Ending::new(true, format!("node {id} installed a snapshot")));
                }
                drop(node);
                if Instant::now() > deadline {
                    return Ok(Ending::new(false, format!("node {id} installed no snapshot")));
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        .boxed()
    }
}
