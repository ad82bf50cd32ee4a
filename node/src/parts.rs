//! What a node is made of, between its data folder and its port.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::Audit;
use crate::config::{Config, NodeConfig};
use crate::group::{Group, GroupSeed, RaftNode};
use crate::node::{StartError, data_error};
use crate::raft::admission::{Contacts, Surroundings};
use crate::raft::dial::Dial;
use crate::raft::handle::{OpenRaftError, RaftHandle};
use crate::raft::log_store::LogStore;
use crate::raft::network::{Network, NetworkSettings};
use crate::raft::own::{Barred, Own};
use crate::raft::server::PeerServer;
use crate::raft::snapshot::SnapshotDir;
use crate::raft::state_machine::StateMachine;
use crate::raft::transfer;
use crate::replica::Replica;
use crate::store::disk::Disk;
use crate::store::generation::Generations;
use crate::store::identity::DataFolder;
use crate::store::log::{Log, Witness};
use crate::store::rows::RowStore;

/// Everything of a node that is on disk.
pub(crate) struct Opened {
    pub(crate) folder: DataFolder,
    pub(crate) log: Log,
    pub(crate) replica: Replica,
    pub(crate) generations: Generations,
    pub(crate) snapshots: PathBuf,
    audit: Option<PathBuf>,
}

impl Opened {
    /// Opens, in the order in which each part is a witness for the next.
    pub(crate) fn open(disk: &Arc<dyn Disk>, own: &NodeConfig, cluster: &str) -> Result<Self, StartError> {
        let failed = |source| data_error(&own.data, source);
        let mut folder = DataFolder::open(&own.data, cluster, own.id)?;
        let generations = Generations::open(&own.data).map_err(failed)?;
        let rows = generations.path();
        let applied = RowStore::applied_in(disk, &rows)?;
        let witness = Witness { applied, existed: folder.identity().has_log };
        let path = own.data.join("log");
        let log =
            Log::open_on(disk.as_ref(), &path, witness).map_err(|source| StartError::Log { path, source })?;
        folder.note_log()?;
        let replica = Replica::new(RowStore::open(Arc::clone(disk), &rows)?)?;
        let snapshots = own.data.join("snap");
        transfer::remove_partial(&snapshots).map_err(failed)?;
        let audit = own.audit.clone();
        Ok(Self { folder, log, replica, generations, snapshots, audit })
    }

    /// The state machine over it.
    pub(crate) fn machine(&self, seed: &GroupSeed) -> Result<StateMachine, StartError> {
        let audit =
            self.audit.as_deref().map(|path| Audit::open(path).map_err(|source| data_error(path, source)));
        let machine = StateMachine::new(
            self.replica.clone(),
            self.log.clone(),
            self.generations.clone(),
            self.snapshots.clone(),
            seed.observer(),
        )
        .map_err(|source| data_error(&self.snapshots, source))?;
        Ok(machine.audited(audit.transpose()?))
    }
}

/// Who this node is; one that is to be added to a cluster founds none.
pub(crate) fn own(config: &Config, opened: &Opened, joins: bool) -> Arc<Own> {
    let identity = opened.folder.identity();
    let founders = if joins { Vec::new() } else { config.founders().into_keys().collect() };
    Arc::new(Own::new(identity.node_id, identity.incarnation, founders))
}

/// Whom a new node knows.
pub(crate) fn surroundings(config: &Config, id: u64, contacts: Option<Contacts>) -> Surroundings {
    let founders = if contacts.is_some() { BTreeMap::new() } else { config.founders() };
    Surroundings { founders, routes: config.routes_of(id), contacts }
}

/// How a node talks to its peers.
pub(crate) fn network_settings(config: &Config, own: Arc<Own>) -> NetworkSettings {
    let id = own.node;
    NetworkSettings {
        own,
        cluster: config.cluster.name.clone(),
        token: None,
        routes: config.routes_of(id),
        append_timeout: config.raft_settings().append_timeout(),
    }
}

/// Starts Raft on the runtime that polls this.
pub(crate) fn start_raft_here(
    config: &Config,
    network: Network<SnapshotDir>,
    store: LogStore,
    machine: StateMachine,
) -> impl Future<Output = Result<RaftNode, OpenRaftError>> + Send + 'static {
    let (settings, cluster) = (config.raft_settings(), config.cluster.name.clone());
    async move { RaftHandle::start(&cluster, &settings, network, store, machine).await }
}

/// A node without a port, on the runtime, the disk and the connections that it is given: what a simulation runs.
pub struct Embedded {
    group: Group,
    peers: PeerServer<StateMachine>,
    log: Log,
    raft: RaftNode,
    _folder: DataFolder,
}

impl Embedded {
    /// Opens the data folder of node `id`, and joins the cluster.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: &Config,
        id: u64,
        disk: Arc<dyn Disk>,
        dialer: Arc<dyn Dial>,
    ) -> Result<Self, StartError> {
        let own = config.find(id).ok_or(StartError::UnknownNode(id))?;
        let opened = Opened::open(&disk, own, &config.cluster.name)?;
        let seed = GroupSeed::new(opened.replica.clone(), config.group_settings());
        let network = Network::over(network_settings(config, self::own(config, &opened, false)), dialer);
        let store = LogStore::new(opened.log.clone());
        let raft = start_raft_here(config, network, store, opened.machine(&seed)?).await?;
        let group = seed.start(&config.cluster.name, own.url(), raft.clone());
        let peers = PeerServer::new(&raft, opened.snapshots.clone());
        raft.enter(surroundings(config, id, None));
        let Opened { folder, log, .. } = opened;
        Ok(Self { group, peers, log, raft, _folder: folder })
    }

    /// Its Raft group.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// Its durable log.
    pub const fn log(&self) -> &Log {
        &self.log
    }

    /// Serves one connection of a peer until it ends.
    ///
    /// # Errors
    /// When what comes over it means nothing.
    pub fn serve_peer(
        &self,
        stream: crate::raft::dial::PeerStream,
    ) -> impl Future<Output = Result<(), crate::raft::server::ServeError>> + Send + 'static {
        let peers = self.peers.clone();
        async move { peers.serve(stream).await }
    }

    /// Resolves, with the reason, if Raft dies under the running node.
    pub async fn died(&self) -> String {
        self.raft.died().await
    }

    /// Resolves, with the reason, if the node must not be part of the cluster.
    pub async fn barred(&self) -> Barred {
        self.raft.own().barred().await
    }
}
