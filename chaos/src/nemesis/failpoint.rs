//! Crashes of nodes at named places of their code: between a write and its fsync, in the middle of a snapshot, after a commit
//! and before the answer. Each place is a fault of its own. Needs a daemon that was built with the feature `failpoints`.

use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use super::snapshot::{PURGED_WITHIN, wait_for_purge};
use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others, set_deaf};
use crate::cluster::Cluster;

/// What all of these faults are called together.
const FAMILY: &str = "failpoint";
/// How long it may take until a node comes to a place that lies on its daily way.
const REACHED_WITHIN: Duration = Duration::from_secs(15);
/// Times that a node passes a busy place before it crashes there.
const PASSES_MAX: u32 = 40;
/// How long a leader talks to nobody before it is overruled: an election, and some requests for it to write down.
const UNHEARD: Duration = Duration::from_secs(4);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What brings a node to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Road {
    /// The load, soon and often.
    Load,
    /// The load, soon and often, if the node leads.
    Lead,
    /// The load, once there was enough of it for a snapshot.
    Snapshot,
    /// The log that it lacks is gone, and it gets a snapshot.
    Install,
    /// Another leader is elected.
    Election,
    /// It wrote entries down as a leader whom nobody heard, and another leader knows better.
    Overruled,
}

fn road(place: &str) -> Road {
    match place {
        "net.before_send_append"
        | "propose.after_enqueue"
        | "reply.before_send"
        | "lease.before_grant_reply" => Road::Lead,
        "purge.after_marker" | "snap.before_checkpoint" | "snap.after_checkpoint_before_rename" => {
            Road::Snapshot
        }
        "snap.recv_mid_file" | "snap.before_current_swap" | "snap.after_current_swap" => Road::Install,
        "vote.before_sync" | "vote.after_sync" => Road::Election,
        "truncate.mid" => Road::Overruled,
        _ => Road::Load,
    }
}

impl Road {
    /// How to tell the node when to crash: at a busy place, after some passes.
    fn setting(self, place: &str, random: &mut StdRng) -> String {
        match self {
            Self::Load | Self::Lead => {
                format!("{place}={}*off->return", random.random_range(1..PASSES_MAX))
            }
            Self::Snapshot | Self::Install | Self::Election | Self::Overruled => format!("{place}=return"),
        }
    }

    const fn patience(self) -> Duration {
        match self {
            Self::Snapshot => PURGED_WITHIN,
            Self::Load | Self::Lead | Self::Install | Self::Election | Self::Overruled => REACHED_WITHIN,
        }
    }

    /// Brings a node, which runs, on its way.
    async fn lead_there(self, cluster: &Cluster, id: u64) -> anyhow::Result<()> {
        match self {
            Self::Load | Self::Snapshot | Self::Install => {}
            Self::Lead => make_leader(cluster, id).await?,
            Self::Election => {
                cluster.await_serving(id, REACHED_WITHIN).await;
                let (leader, others) = leader_and_others(cluster).await?;
                let to = others.into_iter().find(|other| *other != id).context("there is no third node")?;
                // The crash may spoil it, which is what is wanted.
                drop(cluster.views().transfer(leader, to).await);
            }
            Self::Overruled => {
                make_leader(cluster, id).await?;
                set_deaf(cluster, id, true)?;
                sleep(UNHEARD).await;
                set_deaf(cluster, id, false)?;
            }
        }
        Ok(())
    }
}

/// Hands the leadership to a node, unless that crashes on the way.
async fn make_leader(cluster: &Cluster, id: u64) -> anyhow::Result<()> {
    cluster.await_serving(id, REACHED_WITHIN).await;
    let deadline = Instant::now() + REACHED_WITHIN;
    while Instant::now() < deadline && cluster.node(id).await.process.exited()?.is_none() {
        match cluster.views().leader().await {
            Some(view) if view.node == id => return Ok(()),
            // It may crash while it takes over, which is what is wanted.
            Some(view) => drop(cluster.views().transfer(view.node, id).await),
            None => {}
        }
        sleep(LOOK).await;
    }
    Ok(())
}

pub(super) struct Failpoint {
    name: String,
    place: String,
    crashed: Option<(u64, bool)>,
}

/// One for each place; if there is none, one that cannot happen.
pub(super) fn all(places: &[String]) -> Vec<Box<dyn Nemesis>> {
    let at = |place: &str, name: String| {
        Box::new(Failpoint { name, place: place.to_owned(), crashed: None }) as Box<dyn Nemesis>
    };
    if places.is_empty() {
        return vec![at("", FAMILY.to_owned())];
    }
    places.iter().map(|place| at(place, format!("{FAMILY}:{place}"))).collect()
}

impl Failpoint {
    /// Starts a node anew so that it crashes at the place, and waits until it has.
    async fn crash(&self, cluster: &Cluster, id: u64, setting: &str) -> anyhow::Result<bool> {
        let road = road(&self.place);
        let reached = cluster.views().last_log(id).await.context("the node is silent")?;
        {
            let mut node = cluster.node(id).await;
            node.may_end = true;
            node.process.stop().await?;
        }
        if road == Road::Install {
            wait_for_purge(cluster, reached).await;
        }
        {
            let mut node = cluster.node(id).await;
            node.process.set_failpoints(Some(setting));
            node.process.start()?;
            // Whoever starts it again starts it whole.
            node.process.set_failpoints(None);
        }
        road.lead_there(cluster, id).await?;
        let deadline = Instant::now() + road.patience();
        while Instant::now() < deadline {
            if cluster.node(id).await.process.exited()?.is_some() {
                return Ok(true);
            }
            sleep(LOOK).await;
        }
        Ok(false)
    }
}

impl Nemesis for Failpoint {
    fn name(&self) -> &str {
        &self.name
    }

    fn explain(&self) -> &'static str {
        "a node crashes at a named place of its code; each place is a fault of its own (needs raftworkd with failpoints)"
    }

    fn breaks(&self) -> Breaks {
        Breaks::Peace
    }

    fn needs(&self) -> Needs {
        Needs::Failpoints
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let (_, others) = leader_and_others(&scene.cluster).await?;
            let id = draw(random, &others);
            self.crashed = Some((id, false));
            let setting = road(&self.place).setting(&self.place, random);
            let crashed = self.crash(&scene.cluster, id, &setting).await?;
            self.crashed = Some((id, crashed));
            Ok(Deed::new(vec![id], format!("node {id} is to crash at {setting}")))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let Some((id, crashed)) = self.crashed.take() else {
                return Ok(Ending::new(false, "no node was chosen"));
            };
            let mut node = scene.cluster.node(id).await;
            if !crashed {
                // It would crash there some other time.
                node.process.stop().await?;
            }
            node.process.start()?;
            node.may_end = false;
            let (word, place) = (if crashed { "crashed at" } else { "never came to" }, &self.place);
            Ok(Ending::new(crashed, format!("node {id} {word} {place}")))
        }
        .boxed()
    }
}
