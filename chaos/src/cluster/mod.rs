//! A real cluster under test: `raftworkd` processes, a proxy on every link, Python workers, all in one run folder.
//!
//! Every node is configured with the proxies as the places of its peers, and advertises a proxy to clients and workers, so
//! that every byte between any two processes passes a wire that a nemesis can shut. As root, nodes and workers get networks
//! of their own besides, whose kernel loses what is sent over a shut wire.

mod change;
mod image;
mod layout;
mod levers;
mod members;
mod network;
mod node;
mod process;
mod proxy;
mod tool;
mod turn;
mod view;
mod wires;
mod workers;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::future::try_join_all;
use tokio::time::Instant;

pub(crate) use self::image::Image;
pub(crate) use self::layout::Settings;
use self::layout::{Layout, Nets, pairs};
use self::levers::Library;
pub(crate) use self::members::Members;
pub(crate) use self::network::Networks;
pub(crate) use self::node::Node;
use self::proxy::{From, Proxy};
use self::turn::{Held, Turn};
pub(crate) use self::view::Views;
pub(crate) use self::wires::{Party, Wire, Wires, both_ways};
pub(crate) use self::workers::Workers;

/// Pause between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(50);
/// Nodes beyond those that the cluster begins with, which can be added to it.
const SPARES: u64 = 2;

/// What a cluster is made of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The daemon.
    pub(crate) raftworkd: PathBuf,
    /// Number of nodes.
    pub(crate) nodes: u64,
    /// Whether every node gets a disk of its own that can lose its power.
    pub(crate) own_disks: bool,
    /// Whether nodes and workers get networks of their own, whose kernel loses what a partition loses.
    pub(crate) own_networks: bool,
    /// Whether there is a C compiler for the levers.
    pub(crate) levers: bool,
    /// Places at which the daemon can be made to crash; none, if it was not built for that.
    pub(crate) failpoints: Vec<String>,
    /// What its configuration says.
    pub(crate) settings: Settings,
}

/// A running cluster.
pub(crate) struct Cluster {
    layout: Layout,
    /// By id, members or not.
    nodes: Vec<Turn<Node>>,
    members: Members,
    founders: usize,
    wires: Arc<Wires>,
    views: Views,
    _proxies: Vec<Proxy>,
}

impl Cluster {
    /// Starts a cluster in `folder`, which must exist, and waits until it serves.
    ///
    /// # Errors
    /// When a node does not start; the message ends with what it said.
    pub(crate) async fn start(folder: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let founders: Vec<u64> = (1..=plan.nodes).collect();
        let all = plan.nodes + SPARES;
        let (layout, wires) = open_wires(folder, all, plan.own_networks)?;
        fs_err::write(layout.file("cluster.toml"), layout.config(&founders, all, &plan.settings))?;
        for id in 1..=all {
            let own = layout.config(&[id], all, &plan.settings);
            fs_err::write(layout.file(&format!("n{id}.toml")), own)?;
        }
        let library = plan.levers.then(|| Library::compile(folder)).transpose()?;
        let proxies = open_proxies(&layout, all, &wires).await?;
        let nodes = (1..=all)
            .map(|id| {
                let network = wires.network(Party::Node(id));
                Node::new(&layout, id, &plan.raftworkd, library.as_ref(), plan.own_disks, network)
                    .map(Turn::new)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let began_with = founders.len();
        let members = Members::new(founders);
        let views =
            Views::new((1..=all).map(|id| (id, format!("http://{}", layout.node(id)))), members.clone())?;
        let cluster = Self { layout, nodes, members, founders: began_with, wires, views, _proxies: proxies };
        for id in cluster.ids() {
            cluster.node(id).await.process.start()?;
        }
        cluster.await_ready(Duration::from_mins(1)).await?;
        Ok(cluster)
    }

    /// Ids of its members.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.members.ids()
    }

    /// Number of nodes that it began with.
    pub(crate) const fn founders(&self) -> usize {
        self.founders
    }

    /// Its members, to be followed.
    pub(crate) fn members(&self) -> Members {
        self.members.clone()
    }

    /// Number of nodes that decide.
    pub(crate) fn majority(&self) -> usize {
        self.ids().len() / 2 + 1
    }

    /// One node, alone.
    pub(crate) async fn node(&self, id: u64) -> Held<'_, Node> {
        let index = usize::try_from(id - 1).expect("ids are small");
        self.nodes[index].lock().await
    }

    /// All wires.
    pub(crate) fn wires(&self) -> &Wires {
        &self.wires
    }

    /// What the nodes say of themselves, asked past all proxies.
    pub(crate) const fn views(&self) -> &Views {
        &self.views
    }

    /// Base URLs of the members, for clients and workers.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.ids().into_iter().map(|id| self.layout.door_url(id)).collect()
    }

    /// Base URLs of all nodes by their id, members or not.
    pub(crate) fn doors(&self) -> Vec<String> {
        (1..=self.nodes.len() as u64).map(|id| self.layout.door_url(id)).collect()
    }

    /// Where everybody in the cluster reaches what the harness itself offers.
    pub(crate) fn host(&self) -> IpAddr {
        self.layout.host()
    }

    /// A file in the run folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.layout.file(name)
    }

    /// The audit files of all nodes that ever were members.
    pub(crate) fn audits(&self) -> Vec<(u64, PathBuf)> {
        let all = (1..=self.nodes.len() as u64).map(|id| (id, self.layout.audit(id)));
        all.filter(|(_, path)| path.exists()).collect()
    }

    /// The node that leads now, as most say; waits for one.
    ///
    /// # Errors
    /// When there is none in time.
    pub(crate) async fn leader(&self) -> anyhow::Result<u64> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(view) = self.views.leader().await {
                return Ok(view.node);
            }
            if Instant::now() > deadline {
                bail!("no node leads");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Undoes everything that was done to wires, disks, clocks and processes, and starts what is not running.
    ///
    /// # Errors
    /// When a node cannot be started.
    pub(crate) async fn heal(&self) -> anyhow::Result<()> {
        self.wires.mend()?;
        for id in self.ids() {
            self.node(id).await.heal()?;
        }
        Ok(())
    }

    /// Waits until a node can serve, for as long as `patience`.
    pub(crate) async fn await_serving(&self, id: u64, patience: Duration) {
        let serves = async {
            while !self.views.is_ready(id).await {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Whether it does is for the caller to find out.
        let _ = tokio::time::timeout(patience, serves).await;
    }

    /// Waits until every node can serve.
    ///
    /// # Errors
    /// When a node ends by itself, or time is over.
    pub(crate) async fn await_ready(&self, patience: Duration) -> anyhow::Result<()> {
        try_join_all(self.ids().into_iter().map(|id| self.await_node(id, patience))).await.map(drop)
    }

    /// Waits until one node can serve; starts it again if it was on its way down when it was healed.
    async fn await_node(&self, id: u64, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while !self.views.is_ready(id).await {
            let mut node = self.node(id).await;
            if let Some(status) = node.process.exited()? {
                if !std::mem::take(&mut node.may_end) {
                    bail!("node {id} ended by itself: {status}\n{}", last_lines(node.process.log()));
                }
                node.process.start()?;
            }
            if Instant::now() > deadline {
                let log = last_lines(node.process.log());
                bail!("node {id} cannot serve {patience:?} after everything was healed\n{log}");
            }
            drop(node);
            tokio::time::sleep(LOOK).await;
        }
        self.node(id).await.may_end = false;
        Ok(())
    }

    /// Asks every node to stop, and waits until all have.
    ///
    /// # Errors
    /// When one does not.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        let stop = |id| async move { self.node(id).await.process.stop().await };
        try_join_all(self.ids().into_iter().map(stop)).await.map(drop)
    }
}

/// Whole wires, and the places of a run on them.
fn open_wires(folder: &Path, nodes: u64, own_networks: bool) -> anyhow::Result<(Layout, Arc<Wires>)> {
    if !own_networks {
        return Ok((Layout::new(folder, Nets::loopback()), Arc::default()));
    }
    let (networks, nets) =
        Networks::create(nodes).context("cannot make networks; --no-networks does without")?;
    let layout = Layout::new(folder, nets);
    Ok((layout.clone(), Arc::new(Wires::over(networks, layout))))
}

async fn open_proxies(layout: &Layout, nodes: u64, wires: &Arc<Wires>) -> anyhow::Result<Vec<Proxy>> {
    let mut proxies = Vec::new();
    for (from, to) in pairs(nodes) {
        let open =
            Proxy::open(layout.link(from, to), From::Node(from), to, layout.node(to), Arc::clone(wires));
        proxies.push(open.await.with_context(|| format!("no proxy between nodes {from} and {to}"))?);
    }
    for to in 1..=nodes {
        let open = Proxy::open(layout.door(to), From::Outside, to, layout.node(to), Arc::clone(wires));
        proxies.push(open.await.with_context(|| format!("no proxy before node {to}"))?);
    }
    Ok(proxies)
}

/// The end of a log, for an error message.
fn last_lines(log: &Path) -> String {
    /// Enough for a panic or a refusal with its reasons.
    const LINES: usize = 12;
    let text =
        fs_err::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    tail.iter().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}
