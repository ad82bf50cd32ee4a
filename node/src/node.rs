//! A node, from its data folder to its port: what `raftworkd serve` runs and what tests start.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use raftwork_api::frame::FrameError;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::group::{Group, GroupSeed, RaftNode};
use crate::http::{self, AppState, BindError};
use crate::join;
use crate::parts::{Opened, network_settings, own, start_raft_here, surroundings};
use crate::raft::handle::OpenRaftError;
use crate::raft::log_store::LogStore;
use crate::raft::network::Network;
use crate::raft::own::Barred;
use crate::raft::server::PeerServer;
use crate::replica::Replica;
use crate::store::disk::{Disk, RocksDisk};
use crate::store::identity::{DataFolder, IdentityError};
use crate::store::log::OpenError;
use crate::store::rows::OpenRowsError;

/// Most threads that Raft has to itself, so that no request, however slow, delays a heartbeat. Where there are few cores it
/// has one: a second would be woken by every message, for nothing (half of what an idle node cost on two cores).
const RAFT_THREADS_MAX: usize = 2;
/// Cores for each thread of Raft.
const CORES_PER_RAFT_THREAD: usize = 2;
/// How long a stopping leader waits for another node to take over.
const HANDOVER_WITHIN: Duration = Duration::from_secs(3);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration has no such node.
    #[error("the configuration has no [[node]] with id = {0}")]
    UnknownNode(u64),
    /// The data folder is another's, or in use.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The log was refused.
    #[error("the log in {path}: {source}")]
    Log {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The rows were refused.
    #[error(transparent)]
    Rows(#[from] OpenRowsError),
    /// The data folder cannot be read or written.
    #[error("the data folder {path}: {source}")]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The port cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Raft refused its settings or what is stored.
    #[error(transparent)]
    Raft(#[from] OpenRaftError),
    /// No HTTP client can be made.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A running node.
pub struct Node {
    group: Group,
    raft: RaftNode,
    replica: Replica,
    addr: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
    // Last: everything that runs on it is gone by then, and the folder's lock outlives all.
    raft_runtime: Option<Runtime>,
    _folder: DataFolder,
}

impl Node {
    /// Opens the data folder of node `id` (refusing what is damaged or another's), takes the port, enters the cluster.
    ///
    /// With URLs in `join`, a new node founds no cluster, but waits to be added to the one that is there.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed then but what a crash would also leave.
    pub async fn start(config: &Config, id: u64, join: &[String]) -> Result<Self, StartError> {
        let own = config.find(id).ok_or(StartError::UnknownNode(id))?;
        // The port first: a second process on the same configuration should say so, whatever its data folder says.
        let listener = http::bind(own.addr).await?;
        let addr = listener.local_addr().map_err(|source| BindError::Io { addr: own.addr, source })?;
        let disk: Arc<dyn Disk> = Arc::new(RocksDisk);
        let opened = Opened::open(&disk, own, &config.cluster.name)?;
        let seed = GroupSeed::new(opened.replica.clone(), config.group_settings());
        let runtime = raft_runtime().map_err(|source| data_error(&own.data, source))?;
        let raft = start_raft(&runtime, config, (&opened, !join.is_empty()), &seed).await?;
        let group = seed.start(&config.cluster.name, own.url(), raft.clone());
        let peers = peer_server(&runtime, &raft, &opened);
        let state = AppState::new(group.clone(), config, id, opened.log.clone(), peers)?;
        let stop = CancellationToken::new();
        let server = tokio::spawn(http::serve(listener, state, stop.clone()));
        let contacts = (!join.is_empty()).then(|| join::contacts(&config.cluster.name, join)).transpose()?;
        runtime.handle().spawn({
            let (raft, surroundings) = (raft.clone(), surroundings(config, id, contacts));
            async move { raft.enter(surroundings) }
        });
        tracing::info!(node = id, %addr, cluster = config.cluster.name, "node started");
        let Opened { folder, replica, .. } = opened;
        Ok(Self { group, raft, replica, addr, stop, server, raft_runtime: Some(runtime), _folder: folder })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its Raft group.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// Resolves, with the reason, if Raft dies under the running node: the process must end then.
    pub async fn died(&self) -> String {
        self.raft.died().await
    }

    /// Resolves, with the reason, if the node must not be part of the cluster: the process must end then, too.
    pub async fn barred(&self) -> Barred {
        self.raft.own().barred().await
    }

    /// Stops: hands leadership over first, lets requests under way end, makes everything durable.
    pub async fn stop(mut self) {
        let handover = tokio::time::timeout(HANDOVER_WITHIN, self.group.hand_over()).await;
        if !matches!(handover, Ok(Ok(()))) {
            tracing::warn!("no other node took over the leadership in time; the others elect one");
        }
        self.stop.cancel();
        let _ = (&mut self.server).await;
        self.raft.shutdown().await;
        let rows = self.replica.rows();
        // Restarting from flushed rows replays little of the log.
        let _ = tokio::task::spawn_blocking(move || rows.flush()).await;
        if let Some(runtime) = self.raft_runtime.take() {
            runtime.shutdown_background();
        }
        tracing::info!("node stopped");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(runtime) = self.raft_runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn raft_runtime() -> io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (cores / CORES_PER_RAFT_THREAD).clamp(1, RAFT_THREADS_MAX);
    Builder::new_multi_thread().worker_threads(threads).thread_name("raft").enable_all().build()
}

async fn start_raft(
    runtime: &Runtime,
    config: &Config,
    (opened, joins): (&Opened, bool),
    seed: &GroupSeed,
) -> Result<RaftNode, StartError> {
    let network = Network::new(network_settings(config, own(config, opened, joins)))?;
    let machine = opened.machine(seed)?;
    let starting = start_raft_here(config, network, LogStore::new(opened.log.clone()), machine);
    let started = runtime.spawn(starting).await.map_err(|error| OpenRaftError::Fatal(error.to_string()));
    Ok(started??)
}

/// Serves peers on Raft's own threads, which wait for their sockets, too.
fn peer_server(runtime: &Runtime, raft: &RaftNode, opened: &Opened) -> http::PeerServer {
    let server = PeerServer::new(raft, opened.snapshots.clone());
    let handle = runtime.handle().clone();
    Arc::new(move |stream| {
        let server = server.clone();
        handle.spawn(async move {
            let serving = async { server.serve(http::adopt(stream).map_err(FrameError::from)?).await };
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a peer's connection ended");
            }
        });
    })
}

pub(crate) fn data_error(path: &Path, source: io::Error) -> StartError {
    StartError::Data { path: path.to_owned(), source }
}
