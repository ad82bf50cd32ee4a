//! Changes of the membership under load: nodes come on empty folders, take the place of others, and go.
//!
//! A node that went may come again later, under its old id and with an empty folder, which to the others is a new node.

use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::sleep;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw};
use crate::cluster::Cluster;

/// Members above which nodes go rather than come, so that a run does not end with all that there are.
const MEMBERS_MORE: usize = 2;
/// Longest time between a change's beginning and the death of its leader.
const KILLED_WITHIN_MS: u64 = 400;

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Grow,
    Shrink,
    Replace,
}

struct Membership {
    kind: Kind,
    changed: bool,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    let kinds = [Kind::Grow, Kind::Replace, Kind::Shrink].into_iter();
    kinds.map(|kind| Box::new(Membership { kind, changed: false }) as Box<dyn Nemesis>)
}

/// A change of the members of `cluster`, as ids: who comes, and who goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    comes: Option<u64>,
    goes: Option<u64>,
}

impl Kind {
    /// What to change, so that at least three, and at most two more than in the beginning, are members. A node that is to
    /// grow what has grown shrinks it, and the other way round: the next turn can do what this one could not.
    fn choose(self, cluster: &Cluster, random: &mut StdRng) -> anyhow::Result<Change> {
        let members = cluster.ids();
        let room = cluster.spare().filter(|_| members.len() < cluster.founders() + MEMBERS_MORE);
        let goes = Some(draw(random, &members));
        Ok(match (self, room) {
            (Self::Grow, Some(_)) => Change { comes: room, goes: None },
            (Self::Shrink, _) if members.len() > 3 => Change { comes: None, goes },
            (Self::Grow | Self::Replace | Self::Shrink, _) => {
                let comes = Some(cluster.spare().context("every node is a member")?);
                Change { comes, goes }
            }
        })
    }
}

/// Makes the change, and kills whoever leads while it is under way if `kill` is set.
async fn make(
    cluster: &Cluster,
    Change { comes, goes }: Change,
    kill: Option<Duration>,
) -> anyhow::Result<()> {
    if let Some(id) = comes {
        cluster.prepare(id).await?;
    }
    let change = async {
        match (comes, goes) {
            (Some(id), replaces) => cluster.admit(id, replaces).await,
            (None, Some(id)) => cluster.dismiss(id).await,
            (None, None) => Ok(()),
        }
    };
    let murder = async {
        let Some(after) = kill else { return Ok(()) };
        sleep(after).await;
        let leader = cluster.leader().await?;
        let mut node = cluster.node(leader).await;
        node.process.kill().await?;
        // Whoever is removed meanwhile must not be started again by this.
        sleep(after).await;
        if cluster.ids().contains(&leader) { node.process.start() } else { Ok(()) }
    };
    let (changed, murdered) = tokio::join!(change, murder);
    murdered.and(changed)
}

impl Nemesis for Membership {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Grow => "grow",
            Kind::Shrink => "shrink",
            Kind::Replace => "replace",
        }
    }

    fn explain(&self) -> &'static str {
        match self.kind {
            Kind::Grow => "a node is added on an empty folder; the leader may be killed meanwhile",
            Kind::Shrink => "a node, perhaps the leader, is removed; the leader may be killed meanwhile",
            Kind::Replace => {
                "a new node takes the place of another, perhaps the leader, which may be killed meanwhile"
            }
        }
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
            self.changed = false;
            cluster.recount().await?;
            let change = self.kind.choose(cluster, random)?;
            let after = Duration::from_millis(random.random_range(0..KILLED_WITHIN_MS));
            let kill = random.random_bool(0.5).then_some(after);
            make(cluster, change, kill).await?;
            self.changed = true;
            let nodes: Vec<u64> = [change.comes, change.goes].into_iter().flatten().collect();
            let comes = change.comes.map(|id| format!("node {id} came"));
            let goes = change.goes.map(|id| format!("node {id} went"));
            let words: Vec<String> = comes.into_iter().chain(goes).collect();
            let killed = if kill.is_some() { ", and the leader was killed meanwhile" } else { "" };
            Ok(Deed::new(nodes, format!("{}{killed}", words.join(", "))))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        let members = scene.cluster.ids();
        let changed = self.changed;
        async move { Ok(Ending::new(changed, format!("the members are {members:?}"))) }.boxed()
    }
}
