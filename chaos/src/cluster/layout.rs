//! The run folder: which addresses and files the parts of a cluster get, and the configuration that says so.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rand::Rng;

use super::wires::Party;

/// Every party listens on this port, each on an address of its own: nothing else on the machine takes it while a killed node
/// is away, not even the system for an outgoing connection.
const PORT: u16 = 7001;
/// The last part of the address of workers that have one.
const WORKERS: u64 = 100;
/// The last part of the address of what the harness has besides proxies.
const HOST: u64 = 254;

/// Which addresses are a run's: the first three parts of those that nodes and workers have themselves, and of those at which
/// proxies stand for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nets {
    own: [u8; 3],
    proxies: [u8; 3],
}

impl Nets {
    /// Loopback addresses that hardly anybody else has.
    pub(crate) fn loopback() -> Self {
        let mut random = rand::rng();
        let net = [127, random.random_range(1..255), random.random()];
        Self { own: net, proxies: net }
    }

    /// Those with this number out of what is set aside for tests of networks (RFC 2544, appendix C.2.2).
    pub(crate) const fn numbered(number: u8) -> Self {
        Self { own: [198, 18, number], proxies: [198, 19, number] }
    }

    /// The address that a party itself has.
    pub(crate) fn own(self, party: Party) -> IpAddr {
        match party {
            Party::Node(id) => addr(self.own, id),
            Party::Workers => addr(self.own, WORKERS),
            Party::Clients => self.host(),
        }
    }

    /// The harness's own.
    pub(crate) fn host(self) -> IpAddr {
        addr(self.proxies, HOST)
    }

    /// Everything that proxies listen on, as a prefix.
    pub(crate) fn proxies(self) -> String {
        format!("{}/24", addr(self.proxies, 0))
    }

    fn proxy(self, host: u64) -> SocketAddr {
        SocketAddr::new(addr(self.proxies, host), PORT)
    }
}

fn addr([one, two, three]: [u8; 3], host: u64) -> IpAddr {
    let host = u8::try_from(host).expect("a run has few nodes");
    IpAddr::V4(Ipv4Addr::new(one, two, three, host))
}

/// Settings of the cluster that a run chooses.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Entries between two snapshots: few, so that snapshots are made and installed while the run looks.
    pub(crate) snapshot_every: u64,
    /// Entries kept behind a snapshot.
    pub(crate) keep_log: u64,
    /// A worker that was silent for this long has lost its leases.
    pub(crate) lease_ttl_ms: u64,
    /// How often a worker says that it is there.
    pub(crate) worker_heartbeat_ms: u64,
    /// Time to confirm the start of a grant.
    pub(crate) start_deadline_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let (snapshot_every, keep_log) = (3_000, 1_000);
        Self {
            snapshot_every,
            keep_log,
            lease_ttl_ms: 6_000,
            worker_heartbeat_ms: 1_000,
            start_deadline_ms: 3_000,
        }
    }
}

/// Places of one run.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    folder: PathBuf,
    nets: Nets,
}

impl Layout {
    /// Places in `folder`, on addresses of these networks.
    pub(crate) fn new(folder: &Path, nets: Nets) -> Self {
        Self { folder: folder.to_owned(), nets }
    }

    /// The run folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file or folder in the run folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where node `id` itself listens.
    pub(crate) fn node(&self, id: u64) -> SocketAddr {
        SocketAddr::new(self.nets.own(Party::Node(id)), PORT)
    }

    /// Where clients and workers find node `id`.
    pub(crate) fn door(&self, id: u64) -> SocketAddr {
        self.nets.proxy(100 + id)
    }

    /// Where node `from` finds node `to`.
    pub(crate) fn link(&self, from: u64, to: u64) -> SocketAddr {
        self.nets.proxy(10 * from + to)
    }

    /// Where everybody reaches what the harness has besides proxies.
    pub(crate) fn host(&self) -> IpAddr {
        self.nets.host()
    }

    /// Base URL of node `id` as clients and workers use it.
    pub(crate) fn door_url(&self, id: u64) -> String {
        format!("http://{}", self.door(id))
    }

    /// Data folder of a node.
    pub(crate) fn data(&self, id: u64) -> PathBuf {
        self.folder.join(format!("n{id}")).join("data")
    }

    /// Audit file of a node: outside of its data folder, which may lose its power.
    pub(crate) fn audit(&self, id: u64) -> PathBuf {
        self.folder.join(format!("n{id}.audit"))
    }

    /// The text of a `cluster.toml` that names the nodes `ids`, of those from 1 to `all` that there may be.
    pub(crate) fn config(&self, ids: &[u64], all: u64, settings: &Settings) -> String {
        let mut text = String::from("[cluster]\nname = \"chaos\"\n");
        for id in ids.iter().copied() {
            let (addr, door) = (self.node(id), self.door(id));
            let (data, audit) = (toml_text(&self.data(id)), toml_text(&self.audit(id)));
            let _ = write!(
                text,
                "\n[[node]]\nid = {id}\naddr = \"{addr}\"\nadvertise = \"{door}\"\ndata = {data}\naudit = {audit}\n"
            );
        }
        for (from, to) in pairs(all) {
            let via = self.link(from, to);
            let _ = write!(text, "\n[[route]]\nfrom = {from}\nto = {to}\nvia = \"{via}\"\n");
        }
        let Settings { snapshot_every, keep_log, lease_ttl_ms, worker_heartbeat_ms, start_deadline_ms } =
            settings;
        let _ = write!(
            text,
            "\n[raft]\nsnapshot_every = {snapshot_every}\nkeep_log = {keep_log}\n\n[worker]\nlease_ttl = \"{lease_ttl_ms}ms\"\n\
             heartbeat = \"{worker_heartbeat_ms}ms\"\nstart_deadline = \"{start_deadline_ms}ms\"\n"
        );
        text
    }
}

/// A path as a string of TOML.
fn toml_text(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

/// Every ordered pair of different nodes.
pub(crate) fn pairs(nodes: u64) -> impl Iterator<Item = (u64, u64)> {
    (1..=nodes).flat_map(move |from| (1..=nodes).filter(move |to| *to != from).map(move |to| (from, to)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_parties_of_a_run_share_an_address() {
        for nets in [Nets::loopback(), Nets::numbered(7)] {
            let layout = Layout::new(Path::new("run"), nets);
            let own = (1..=9).flat_map(|id| [layout.node(id).ip(), layout.door(id).ip()]);
            let links = pairs(9).map(|(from, to)| layout.link(from, to).ip());
            let all: Vec<_> = own.chain(links).chain([nets.own(Party::Workers), layout.host()]).collect();
            assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        }
    }
}
