//! `cluster.toml`: one file, the same on every node; `--node` says which `[[node]]` a process is.
//!
//! Unknown keys are errors that name the line and the nearest known key: a typo must never silently mean the default.

mod check;
mod hint;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use raftwork_api::Span;
use raftwork_api::kernel::Millis;
use serde::Deserialize;

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not TOML, or a key or a value is not what it should be.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// Every value is well formed, but together they make no sense.
    #[error("{path}: {message}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// The node asked for is not in the file.
    #[error("{path} has no [[node]] with id = {node}; it has {known}")]
    UnknownNode {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        node: u64,
        /// The ids that are there.
        known: String,
    },
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[cluster]`
    pub cluster: ClusterConfig,
    /// `[[node]]`, once for each.
    #[serde(rename = "node")]
    pub nodes: Vec<NodeConfig>,
    /// `[[route]]`, once for each exception.
    #[serde(rename = "route", default)]
    pub routes: Vec<RouteConfig>,
    /// `[raft]`
    #[serde(default)]
    pub raft: RaftConfig,
    /// `[worker]`
    #[serde(default)]
    pub worker: WorkerConfig,
    /// `[limits]`
    #[serde(default)]
    pub limits: LimitsConfig,
    /// `[rest]`
    #[serde(default)]
    pub rest: RestConfig,
}

/// `[cluster]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// Name of the cluster; a data folder of another cluster is refused.
    pub name: String,
}

/// `[[node]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Number of the node, from 1, never given to another node.
    pub id: u64,
    /// Where it listens, as in `127.0.0.1:7001`.
    pub addr: SocketAddr,
    /// Where others reach it, as in `node1.example.com:7001`, if that is not `addr`.
    #[serde(default)]
    pub advertise: Option<String>,
    /// Its data folder; relative to the file.
    pub data: PathBuf,
    /// A file that gets every applied entry with its replies, for audits; relative to the file. It only ever grows.
    #[serde(default)]
    pub audit: Option<PathBuf>,
}

/// `[[route]]`: where one node reaches another, if that is not where everybody reaches it: a tunnel, a private network.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The node that connects.
    pub from: u64,
    /// The node that it reaches.
    pub to: u64,
    /// `host:port`.
    pub via: String,
}

impl NodeConfig {
    /// `host:port` at which other nodes, workers and clients reach it.
    pub fn reached_at(&self) -> String {
        self.advertise.clone().unwrap_or_else(|| self.addr.to_string())
    }

    /// Whether other machines can reach it.
    pub const fn is_exposed(&self) -> bool {
        !self.addr.ip().is_loopback()
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.reached_at())
    }
}

/// `[raft]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftConfig {
    /// How often a leader tells followers that it is there.
    pub heartbeat: Span,
    /// A follower that hears nothing stands for election after this long at the earliest ...
    pub election_min: Span,
    /// ... and after this long at the latest.
    pub election_max: Span,
    /// Log entries after which a new snapshot is made.
    pub snapshot_every: u64,
    /// Log entries that are kept behind a snapshot, for followers that lag a little.
    pub keep_log: u64,
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat: span(250),
            election_min: span(500),
            election_max: span(900),
            snapshot_every: 50_000,
            keep_log: 20_000,
        }
    }
}

/// `[worker]`: the rules that every worker of the cluster is told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// A worker that was silent for this long has lost its leases.
    pub lease_ttl: Span,
    /// How often a worker says that it is there.
    pub heartbeat: Span,
    /// A grant whose start is not confirmed within this time goes back.
    pub start_deadline: Span,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { lease_ttl: span(10_000), heartbeat: span(2_000), start_deadline: span(5_000) }
    }
}

/// `[limits]`: bounds over which requests are answered with 429, so that Raft is not hurt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Live tasks (waiting, queued and running together).
    pub queued_max: usize,
    /// Connections to one node; other nodes are let in beyond it.
    pub connections_max: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { queued_max: 5_000_000, connections_max: 10_000 }
    }
}

/// `[rest]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestConfig {
    /// Whether `POST /register_function` takes payloads that are no pickles, as the oldest course tests want.
    pub lenient_register: bool,
}

const fn span(ms: u64) -> Span {
    Span(Millis(ms))
}

impl Config {
    /// Reads and checks the file at `path`; relative data folders become relative to its folder.
    ///
    /// # Errors
    /// Every [`ConfigError`] but [`ConfigError::UnknownNode`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks `text` as if it stood in the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError::Parse`] and [`ConfigError::Invalid`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let message = hint::with_nearest_key(&error.to_string());
            ConfigError::Parse { path: path.to_owned(), message }
        })?;
        check::check(&config).map_err(|message| ConfigError::Invalid { path: path.to_owned(), message })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for node in &mut config.nodes {
            node.data = folder.join(&node.data);
            node.audit = node.audit.take().map(|audit| folder.join(audit));
        }
        Ok(config)
    }

    /// The node with this id.
    ///
    /// # Errors
    /// [`ConfigError::UnknownNode`]; `path` is for its message.
    pub fn node(&self, id: u64, path: &Path) -> Result<&NodeConfig, ConfigError> {
        self.find(id).ok_or_else(|| {
            let ids: Vec<String> = self.nodes.iter().map(|node| node.id.to_string()).collect();
            ConfigError::UnknownNode { path: path.to_owned(), node: id, known: ids.join(", ") }
        })
    }

    /// The node with this id, if there is one.
    pub fn find(&self, id: u64) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.id == id)
    }
}

#[cfg(test)]
mod tests;
