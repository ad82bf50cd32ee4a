//! Networks of their own for nodes and workers: to each a namespace, one cable to the harness, and a packet filter that loses
//! what a partition loses. Needs root.
//!
//! Nobody is connected with anybody but the harness, whose proxies stand between all parties, each on an address of its own.
//! Whom a party does not hear, or is not heard by, is told to its own kernel by the addresses of these proxies. So what
//! happens is what a network does, and no proxy can: nothing is acknowledged, the kernel sends again and again, connections
//! are not opened.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use rand::Rng;

use super::layout::{Layout, Nets};
use super::tool;
use super::wires::Party;

/// Where `ip netns` keeps namespaces by their names.
const NAMESPACES: &str = "/run/netns";
/// What the names of our namespaces and cables begin with; the id of the process that made them follows.
const PREFIX: &str = "rwc";
/// What every network has: two sets of addresses, to which and from which nothing passes, and a count of what was lost.
const FILTER: &str = "
table inet raftwork {
  counter lost {}
  set lost_to { type ipv4_addr; }
  set lost_from { type ipv4_addr; }
  chain leaving { type filter hook output priority filter; ip daddr @lost_to counter name lost drop; }
  chain arriving { type filter hook input priority filter; ip saddr @lost_from counter name lost drop; }
}";

/// What passes in neither set, as text for the packet filter.
type Lost = BTreeSet<(&'static str, IpAddr)>;

/// The networks of a run; dropping it removes them, once nothing runs in them any more.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    by_party: BTreeMap<Party, Network>,
}

#[derive(Debug)]
struct Network {
    name: String,
    /// What its filter was told last.
    lost: Lost,
}

impl Networks {
    /// Why there can be none here, if so.
    pub(crate) fn unavailable() -> Option<String> {
        tool::missing("network namespaces", &["ip", "nft", "nsenter", "unshare"]).or_else(|| {
            // Root in a container may have no right to either.
            let tried = tool::run(Command::new("unshare").args(["--net", "nft", "list", "ruleset"]));
            tried.err().map(|error| format!("{error:#}"))
        })
    }

    /// Networks for nodes 1 to `nodes` and for the workers, and the addresses that are theirs.
    ///
    /// # Errors
    /// When a tool fails; it says why.
    pub(crate) fn create(nodes: u64) -> anyhow::Result<(Self, Nets)> {
        remove_leftovers();
        let mut networks = Self::default();
        let workers = networks.add(Party::Workers)?;
        let nets = claim(&workers)?;
        for id in 1..=nodes {
            networks.add(Party::Node(id))?;
        }
        for (party, network) in &networks.by_party {
            network.connect(nets.own(*party), nets.host())?;
        }
        Ok((networks, nets))
    }

    /// Where a process of this party must be started, if the party has a network of its own.
    pub(crate) fn of(&self, party: Party) -> Option<PathBuf> {
        self.by_party.get(&party).map(|network| path(&network.name))
    }

    /// Loses everything that goes from the first to the second of each of these pairs, and nothing else.
    ///
    /// # Errors
    /// When the packet filter refuses.
    pub(crate) fn lose(&mut self, layout: &Layout, pairs: &[(Party, Party)]) -> anyhow::Result<()> {
        let lost: Vec<_> = pairs.iter().flat_map(|(from, to)| places(layout, *from, *to)).collect();
        self.by_party.iter_mut().try_for_each(|(party, network)| {
            network.lose(lost.iter().filter(|(at, ..)| at == party).map(|(_, set, addr)| (*set, *addr)))
        })
    }

    /// Number of packets that were lost so far.
    ///
    /// # Errors
    /// When the packet filter does not say.
    pub(crate) fn lost(&self) -> anyhow::Result<u64> {
        self.by_party.values().map(Network::packets).sum()
    }

    /// Makes a namespace with one end of a cable in it, and returns the name of the other end.
    fn add(&mut self, party: Party) -> anyhow::Result<String> {
        let name = match party {
            Party::Node(id) => format!("{}n{id}", ours(std::process::id())),
            Party::Workers => format!("{}w", ours(std::process::id())),
            Party::Clients => bail!("clients have no network of their own"),
        };
        ip(&["netns", "add", &name])?;
        let network = Network { name: name.clone(), lost: Lost::new() };
        self.by_party.insert(party, network);
        ip(&["link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        ip(&["link", "set", &name, "up"])?;
        Ok(name)
    }
}

/// Where packets from one party to another are lost: in whose network, in which set, by which address. They go to the proxy
/// before the other party, if the connection is the sender's, and come from the proxy before the sender, if it is not.
fn places(layout: &Layout, from: Party, to: Party) -> Vec<(Party, &'static str, IpAddr)> {
    match (from, to) {
        (Party::Node(one), Party::Node(other)) => vec![
            (from, "lost_to", layout.link(one, other).ip()),
            (to, "lost_from", layout.link(other, one).ip()),
        ],
        (Party::Workers, Party::Node(id)) => vec![(from, "lost_to", layout.door(id).ip())],
        (Party::Node(id), Party::Workers) => vec![(to, "lost_from", layout.door(id).ip())],
        _ => Vec::new(),
    }
}

impl Network {
    /// Gives it its address, the way to the harness, and the filter.
    fn connect(&self, own: IpAddr, host: IpAddr) -> anyhow::Result<()> {
        let Self { name, .. } = self;
        let (own, host) = (format!("{own}/32"), host.to_string());
        for device in ["lo", "eth0"] {
            ip(&["-n", name, "link", "set", device, "up"])?;
        }
        ip(&["-n", name, "addr", "add", &own, "dev", "eth0"])?;
        ip(&["-n", name, "route", "add", "default", "dev", "eth0"])?;
        ip(&["route", "add", &own, "dev", name, "src", &host])?;
        self.nft(FILTER).map(drop)
    }

    /// Loses what is in `wanted`, and nothing else, from one moment to the next.
    fn lose(&mut self, wanted: impl Iterator<Item = (&'static str, IpAddr)>) -> anyhow::Result<()> {
        let wanted: Lost = wanted.collect();
        if self.lost == wanted {
            return Ok(());
        }
        let mut script = String::from("flush set inet raftwork lost_to\nflush set inet raftwork lost_from\n");
        for (set, addr) in &wanted {
            let _ = writeln!(script, "add element inet raftwork {set} {{ {addr} }}");
        }
        self.nft(&script)?;
        self.lost = wanted;
        Ok(())
    }

    fn packets(&self) -> anyhow::Result<u64> {
        let said = self.nft("list counter inet raftwork lost")?;
        let mut words = said.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words
            .next()
            .and_then(|count| count.parse().ok())
            .with_context(|| format!("nft counts nothing: {said}"))
    }

    fn nft(&self, script: &str) -> anyhow::Result<String> {
        tool::run(enter(&path(&self.name), "nft").arg(script))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// A program that runs in this network, under the id of the process that is started.
pub(super) fn enter(network: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", network.display())).arg("--").arg(program);
    command
}

fn path(namespace: &str) -> PathBuf {
    Path::new(NAMESPACES).join(namespace)
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    tool::run(Command::new("ip").args(arguments)).map(drop)
}

fn ours(process: u32) -> String {
    format!("{PREFIX}{process}")
}

/// The cable goes with the namespace, and so do all routes over it.
fn remove(namespace: &str) {
    let _ = Command::new("ip").args(["netns", "del", namespace]).output();
}

/// Takes addresses that no other run on this machine has, by a route that there can be once: it makes all that proxies
/// listen on this machine's own.
fn claim(cable: &str) -> anyhow::Result<Nets> {
    let first: u8 = rand::rng().random();
    for tried in 0..=u8::MAX {
        let nets = Nets::numbered(first.wrapping_add(tried));
        match ip(&["route", "add", "local", &nets.proxies(), "dev", cable]) {
            Ok(()) => return Ok(nets),
            Err(error) if error.to_string().contains("File exists") => {}
            Err(error) => return Err(error),
        }
    }
    bail!("all networks are taken: `ip route show table local` says by whom")
}

/// Removes what runs left behind that were killed.
fn remove_leftovers() {
    let names = std::fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split(['n', 'w']).next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Whether a connection from a network to a proxy's address is made, or its packets are lost.
    async fn connects(networks: &Networks, from: Party, to: SocketAddr) -> bool {
        let listener = TcpListener::bind(to).await.unwrap();
        let (network, before) = (networks.of(from).unwrap(), networks.lost().unwrap());
        let connect = format!("exec 3<>/dev/tcp/{}/{}", to.ip(), to.port());
        let mut process = tokio::process::Command::from(enter(&network, "bash"));
        let _process = process.args(["-c", &connect]).kill_on_drop(true).spawn().unwrap();
        loop {
            if timeout(Duration::from_millis(10), listener.accept()).await.is_ok() {
                return true;
            }
            if networks.lost().unwrap() > before {
                return false;
            }
        }
    }

    #[test]
    fn what_a_killed_run_left_behind_goes_with_the_next() {
        if Networks::unavailable().is_some() {
            return;
        }
        // No process has an id above four million.
        let namespaces = [ours(4_999_999), ours(std::process::id())].map(|run| format!("{run}n9"));
        for name in &namespaces {
            ip(&["netns", "add", name]).unwrap();
        }
        remove_leftovers();
        let left = namespaces.map(|name| path(&name).exists());
        remove(&format!("{}n9", ours(std::process::id())));
        assert_eq!(left, [false, true]);
    }

    /// Whoever may make no networks has none to try.
    #[tokio::test]
    async fn a_network_loses_what_goes_one_way_and_nothing_else() {
        if Networks::unavailable().is_some() {
            return;
        }
        let (mut networks, nets) = Networks::create(3).unwrap();
        let layout = Layout::new(Path::new("run"), nets);
        let (one, other) = (Party::Node(1), Party::Node(2));
        assert!(connects(&networks, one, layout.link(1, 2)).await);
        networks.lose(&layout, &[(one, other), (Party::Node(3), Party::Workers)]).unwrap();
        // What the first says is lost, be it the first word or the answer to one.
        assert!(!connects(&networks, one, layout.link(1, 2)).await);
        assert!(!connects(&networks, other, layout.link(2, 1)).await);
        assert!(!connects(&networks, Party::Workers, layout.door(3)).await);
        assert!(connects(&networks, one, layout.link(1, 3)).await);
        assert!(connects(&networks, Party::Workers, layout.door(1)).await);
        networks.lose(&layout, &[]).unwrap();
        assert!(connects(&networks, one, layout.link(1, 2)).await);
    }
}
