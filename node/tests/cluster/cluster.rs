//! A cluster of daemons on this machine, in a folder that is kept, with the logs, when a test fails.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::api::{Api, Call};
use crate::daemon::{Daemon, Launch};
use crate::wait::until;

/// Elections that are short, and still not caused by a busy machine.
pub const QUICK: &str = "[raft]\nheartbeat = \"100ms\"\nelection_min = \"400ms\"\nelection_max = \"800ms\"\n";
/// All nodes.
pub const ALL: [u64; 3] = [1, 2, 3];
/// Lines of each log that are shown when a test fails.
const LINES_SHOWN: usize = 15;

pub struct Cluster {
    pub api: Api,
    daemons: BTreeMap<u64, Daemon>,
    launches: BTreeMap<u64, Launch>,
    folder: Option<TempDir>,
}

impl Cluster {
    /// Three nodes, all ready; `extra` goes into `cluster.toml`.
    pub async fn start(extra: &str) -> Self {
        let mut cluster = Self::prepare(extra);
        cluster.spawn_all();
        cluster.until_ready(&ALL).await;
        cluster
    }

    /// Writes `cluster.toml` for all nodes, and starts nothing.
    pub fn prepare(extra: &str) -> Self {
        Self::of(&ALL, extra)
    }

    /// The same for a cluster of these nodes.
    pub fn of(ids: &[u64], extra: &str) -> Self {
        Self::with_spares(ids, &[], extra)
    }

    /// The same, and nodes that can be added to it: each has a file of its own, which names nobody else.
    pub fn with_spares(ids: &[u64], spares: &[u64], extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports: BTreeMap<u64, u16> = ids.iter().chain(spares).map(|id| (*id, free_port())).collect();
        let write = |name: &str, ids: &[u64]| {
            let node = |id: &u64| {
                format!("[[node]]\nid = {id}\naddr = \"127.0.0.1:{}\"\ndata = \"n{id}\"\n", ports[id])
            };
            let nodes: String = ids.iter().map(node).collect();
            let config = folder.path().join(name);
            std::fs::write(&config, format!("[cluster]\nname = \"test\"\n{nodes}{extra}")).unwrap();
            config
        };
        let launch = |id: u64, config: &Path, join: Option<String>| Launch {
            config: config.to_owned(),
            node: id,
            log: folder.path().join(format!("n{id}.log")),
            join,
            env: Vec::new(),
        };
        let config = write("cluster.toml", ids);
        let mut launches: BTreeMap<_, _> = ids.iter().map(|id| (*id, launch(*id, &config, None))).collect();
        for id in spares {
            let own = write(&format!("n{id}.toml"), &[*id]);
            let join = format!("http://127.0.0.1:{}", ports[&ids[0]]);
            launches.insert(*id, launch(*id, &own, Some(join)));
        }
        let urls = ports.into_iter().map(|(id, port)| (id, format!("http://127.0.0.1:{port}"))).collect();
        Self { api: Api::new(urls), daemons: BTreeMap::new(), launches, folder: Some(folder) }
    }

    pub fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    /// A node's data folder.
    pub fn data(&self, id: u64) -> PathBuf {
        self.path().join(format!("n{id}"))
    }

    /// What a node has logged since the cluster was made.
    pub fn log(&self, id: u64) -> String {
        std::fs::read_to_string(&self.launches[&id].log).unwrap_or_default()
    }

    /// How a node is started; change it before it is.
    pub fn launch(&mut self, id: u64) -> &mut Launch {
        self.launches.get_mut(&id).unwrap()
    }

    pub fn spawn(&mut self, id: u64) {
        let daemon = self.launches[&id].start();
        self.daemons.insert(id, daemon);
    }

    pub fn spawn_all(&mut self) {
        for id in ALL {
            self.spawn(id);
        }
    }

    /// Empties a node's data folder.
    pub fn wipe(&self, id: u64) {
        std::fs::remove_dir_all(self.data(id)).unwrap();
    }

    /// `SIGSTOP`.
    pub fn pause(&mut self, ids: &[u64]) {
        for id in ids {
            self.daemon(*id).pause();
        }
    }

    /// `SIGCONT`.
    pub fn resume(&mut self, ids: &[u64]) {
        for id in ids {
            self.daemon(*id).resume();
        }
    }

    pub fn daemon(&mut self, id: u64) -> &mut Daemon {
        self.daemons.get_mut(&id).unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self, id: u64) {
        self.daemons.remove(&id).unwrap().kill();
    }

    /// Drops a daemon that has ended by itself.
    pub fn forget(&mut self, id: u64) {
        self.daemons.remove(&id).unwrap();
    }

    /// `kill -9` of every node, as nearly at once as can be.
    pub fn kill_all(&mut self) {
        self.daemons.values_mut().for_each(Daemon::kill_soon);
        self.daemons.clear();
    }

    /// Nodes that run and are not paused.
    pub fn awake(&self) -> Vec<u64> {
        self.daemons.iter().filter(|(_, daemon)| !daemon.paused).map(|(id, _)| *id).collect()
    }

    pub async fn until_ready(&mut self, ids: &[u64]) {
        for id in ids {
            until(&format!("node {id} is ready"), async || {
                if let Some(status) = self.daemon(*id).ended() {
                    panic!("node {id} ended: {status}");
                }
                let ready = self.api.within(Duration::from_secs(2), *id, &Call::get("/readyz")).await?;
                (ready.status == 200).then_some(())
            })
            .await;
        }
    }

    /// The node that says of itself that it leads, and that an awake majority believes.
    pub async fn leader(&self) -> u64 {
        until("there is a leader", async || {
            let mut infos = Vec::new();
            for id in self.awake() {
                infos.push(self.api.info(id).await?);
            }
            let newest = infos.iter().map(|info| info["term"].as_u64()).max()?;
            let leaders: Vec<u64> = infos
                .iter()
                .filter(|info| info["term"].as_u64() == newest)
                .map(|info| info["leader"].as_u64())
                .collect::<Option<_>>()?;
            let leader = *leaders.first()?;
            let agreed = leaders.iter().all(|other| *other == leader) && self.awake().contains(&leader);
            (agreed && leaders.len() >= 2).then_some(leader)
        })
        .await
    }

    /// A node, and the two others in order.
    pub fn others(id: u64) -> [u64; 2] {
        [id % 3 + 1, (id + 1) % 3 + 1]
    }

    /// Waits until all three have applied the same; they must have the same digest then.
    pub async fn until_equal(&self) {
        self.until_equal_on(&ALL).await;
    }

    /// The same for these nodes.
    pub async fn until_equal_on(&self, ids: &[u64]) {
        let digests = until("all nodes have applied the same", async || {
            let mut digests = Vec::new();
            for id in ids {
                let answer =
                    self.api.within(Duration::from_secs(5), *id, &Call::get("/v1/cluster/digest")).await?;
                digests.push(answer.expect(200));
            }
            let same = digests.iter().all(|digest| digest["applied"] == digests[0]["applied"]);
            same.then_some(digests)
        })
        .await;
        let distinct: std::collections::BTreeSet<&str> =
            digests.iter().map(|digest: &Value| digest["digest"].as_str().unwrap()).collect();
        assert_eq!(distinct.len(), 1, "the nodes have diverged: {digests:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.daemons.clear();
        if !std::thread::panicking() {
            return;
        }
        let kept = self.folder.take().unwrap().keep();
        eprintln!("the cluster's folder is kept: {}", kept.display());
        for launch in self.launches.values() {
            let log = std::fs::read_to_string(&launch.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let from = lines.len().saturating_sub(LINES_SHOWN);
            eprintln!("--- the end of {}\n{}", launch.log.display(), lines[from..].join("\n"));
        }
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections: a node that is started
/// again must find it free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = u16::try_from(std::process::id() % 200).unwrap() * 100;
        let port = 10_000 + (start + step) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
