//! Nemeses: each breaks one thing, says what it did, takes it back, and knows whether it took effect.

mod clock;
mod corrupt;
mod disk;
mod failpoint;
mod flaky;
mod folder;
mod kill;
mod membership;
mod partition;
mod pause;
mod power;
mod restart;
mod snapshot;
mod transfer;
mod worker;

use std::sync::Arc;

use futures::future::BoxFuture;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::cluster::{Cluster, Image, Party, Plan, Workers, both_ways};

/// What a nemesis can reach.
pub(crate) struct Scene {
    /// The cluster.
    pub(crate) cluster: Arc<Cluster>,
    /// Its Python workers.
    pub(crate) workers: Arc<Workers>,
}

/// What a nemesis did.
#[derive(Debug, Default)]
pub(crate) struct Deed {
    /// The nodes that it concerns.
    pub(crate) nodes: Vec<u64>,
    /// For people.
    pub(crate) detail: String,
}

impl Deed {
    fn new(nodes: Vec<u64>, detail: impl Into<String>) -> Self {
        Self { nodes, detail: detail.into() }
    }
}

/// How a fault ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Whether it was seen to take effect.
    pub(crate) happened: bool,
    /// For people.
    pub(crate) detail: String,
    /// What a node did that no node may do, if one did; no client need ever have seen it.
    pub(crate) broken: Option<String>,
}

impl Ending {
    fn new(happened: bool, detail: impl Into<String>) -> Self {
        Self { happened, detail: detail.into(), broken: None }
    }

    fn with(self, broken: Option<String>) -> Self {
        Self { broken, ..self }
    }
}

/// What a fault breaks. Two faults are combined only if they break different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaks {
    /// Processes or disks of nodes: a node may be away.
    Nodes,
    /// What nodes say to one another.
    Network,
    /// Their clocks.
    Clocks,
    /// Workers.
    Workers,
    /// Nothing: planned work, which must be left in peace to be done at all.
    Peace,
}

/// The result of a step.
pub(crate) type Step<'a, T> = BoxFuture<'a, anyhow::Result<T>>;

/// Breaks one thing and takes it back.
pub(crate) trait Nemesis: Send {
    /// Its name on the command line and in histories.
    fn name(&self) -> &str;

    /// What it does, in a line.
    fn explain(&self) -> &'static str;

    /// What it breaks.
    fn breaks(&self) -> Breaks;

    /// What it cannot do without.
    fn needs(&self) -> Needs {
        Needs::Nothing
    }

    /// Breaks it.
    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed>;

    /// Takes it back.
    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending>;
}

/// What a nemesis cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Works everywhere.
    Nothing,
    /// Levers on disk and clock, and so a C compiler.
    Levers,
    /// A disk of its own for every node, and so root.
    OwnDisks,
    /// That, and at least three nodes.
    OwnDisksAndMajority,
    /// At least three nodes.
    Majority,
    /// Python workers.
    Workers,
    /// A daemon that can be made to crash at named places, and at least three nodes.
    Failpoints,
}

impl Needs {
    /// Why a nemesis with this need cannot run under `plan` with so many workers, if it cannot.
    pub(crate) fn unmet(self, plan: &Plan, workers: usize) -> Option<String> {
        match self {
            Self::Levers if !plan.levers => Some("needs a C compiler (cc)".to_owned()),
            Self::OwnDisks | Self::OwnDisksAndMajority if !plan.own_disks => Some(
                Image::unavailable()
                    .unwrap_or_else(|| "needs a disk for each node: left out by --no-disks".to_owned()),
            ),
            Self::Failpoints if plan.failpoints.is_empty() => {
                Some("needs a daemon built with --features failpoints".to_owned())
            }
            Self::Majority | Self::OwnDisksAndMajority | Self::Failpoints if plan.nodes < 3 => {
                Some("needs three nodes or more".to_owned())
            }
            Self::Workers if workers == 0 => Some("needs Python workers".to_owned()),
            Self::Nothing
            | Self::Levers
            | Self::OwnDisks
            | Self::OwnDisksAndMajority
            | Self::Majority
            | Self::Workers
            | Self::Failpoints => None,
        }
    }
}

/// Every nemesis that there is, in the order of `--list`, for a daemon that can be made to crash at these places.
pub(crate) fn all(failpoints: &[String]) -> Vec<Box<dyn Nemesis>> {
    let mut all: Vec<Box<dyn Nemesis>> = Vec::new();
    all.extend(kill::all());
    all.extend(pause::all());
    all.extend(partition::all());
    all.extend(flaky::all());
    all.extend(disk::all());
    all.extend(power::all());
    all.extend(corrupt::all());
    all.extend(clock::all());
    all.extend(worker::all());
    all.push(Box::new(restart::RollingRestart::default()));
    all.push(Box::new(transfer::TransferLeadership::default()));
    all.extend(snapshot::all());
    all.extend(membership::all());
    all.push(Box::new(folder::EmptyFolder::default()));
    all.extend(failpoint::all(failpoints));
    all
}

/// One of `from`, drawn.
fn draw(random: &mut StdRng, from: &[u64]) -> u64 {
    *from.choose(random).expect("a cluster has nodes")
}

/// The leader, and the other nodes.
async fn leader_and_others(cluster: &Cluster) -> anyhow::Result<(u64, Vec<u64>)> {
    let leader = cluster.leader().await?;
    Ok((leader, cluster.ids().into_iter().filter(|id| *id != leader).collect()))
}

/// Lets a node hear nothing from the others, and tell them nothing, or lets it take part again.
fn set_deaf(cluster: &Cluster, id: u64, deaf: bool) -> anyhow::Result<()> {
    let others = cluster.ids().into_iter().filter(|other| *other != id);
    let pairs = both_ways(others.map(|other| (Party::Node(id), Party::Node(other))));
    if deaf { cluster.wires().shut(&pairs) } else { cluster.wires().open(&pairs) }
}

/// "node 1" or "nodes 1, 2".
fn named(nodes: &[u64]) -> String {
    let list = nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    format!("node{} {list}", if nodes.len() == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_nemesis_has_a_name_of_its_own_and_an_explanation() {
        let all = all(&["log.before_write".to_owned(), "truncate.mid".to_owned()]);
        let names: BTreeSet<_> = all.iter().map(|nemesis| nemesis.name()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|nemesis| nemesis.explain().len() > 10));
    }
}
