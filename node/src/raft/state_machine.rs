//! The state machine as Raft sees it: decodes an entry, has the replica apply it, hands the replies back.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt};
use openraft::entry::RaftEntry;
use openraft::storage::RaftStateMachine;
use openraft::{OptionalSend, RaftSnapshotBuilder};
use raftwork_kernel::{Applied, Event};

use super::blocking::blocking;
use super::image::LogIdImage;
use super::log_store::{durable, to_position};
use super::members::{decode_members, encode_members};
use super::snapshot::{SnapshotDir, Snapshots};
use super::types::{
    Entry, EntryBytes, EntryResponder, LogId, Membership, Payload, Replies, Snapshot, SnapshotMeta,
    StoredMembership, TypeConfig,
};
use crate::audit::Audit;
use crate::failpoint::reach;
use crate::replica::Replica;
use crate::store::generation::Generations;
use crate::store::log::{Log, Position};
use crate::store::{fatal_io, folder};

/// Is told what was applied, on the thread that applied it: it must be quick.
pub trait Observer: Send + Sync + 'static {
    /// An entry was applied.
    fn applied(&self, events: &[Event]);
    /// Everything was replaced by a snapshot.
    fn replaced(&self);
}

/// The state machine of one group on this node.
pub struct StateMachine {
    replica: Replica,
    log: Log,
    generations: Arc<Mutex<Generations>>,
    snapshots: Arc<Mutex<Snapshots>>,
    root: PathBuf,
    observer: Arc<dyn Observer>,
    audit: Option<Audit>,
}

impl StateMachine {
    /// Over the applied state `replica`, whose rows are the current one of `generations`; snapshots are kept under `root`.
    ///
    /// # Errors
    /// When the snapshots cannot be read. Blocks.
    pub fn new(
        replica: Replica,
        log: Log,
        generations: Generations,
        root: PathBuf,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Self> {
        let snapshots = Arc::new(Mutex::new(Snapshots::open(&root)?));
        let generations = Arc::new(Mutex::new(generations));
        Ok(Self { replica, log, generations, snapshots, root, observer, audit: None })
    }

    /// The same, with every applied entry written to `audit`.
    #[must_use]
    pub fn audited(mut self, audit: Option<Audit>) -> Self {
        self.audit = audit;
        self
    }

    fn apply_one(&self, entry: Entry) -> Replies {
        let position = to_position(entry.log_id());
        match entry.payload {
            Payload::Blank => {
                self.audit(position, &[]);
                self.replica.skip(position, None);
            }
            Payload::Membership(membership) => {
                self.audit(position, &[]);
                self.replica.skip(position, Some(encode_members(position, &membership)));
            }
            Payload::Normal(bytes) => return self.apply_commands(position, &bytes),
        }
        Replies::default()
    }

    fn apply_commands(&self, position: Position, bytes: &EntryBytes) -> Replies {
        self.audit(position, &bytes.0);
        // An entry that this build cannot read was committed by a newer one, or is damaged: skipping it would diverge.
        let entry = raftwork_kernel::decode_shared("entry", &bytes.0)
            .unwrap_or_else(|error| fatal_io("decode a committed entry", &error));
        let Applied { replies, events, .. } = self.replica.apply(position, &entry);
        self.observer.applied(&events);
        Replies(replies)
    }
}

impl StateMachine {
    fn audit(&self, position: Position, entry: &[u8]) {
        if let Some(audit) = &self.audit {
            audit.write(position, entry).unwrap_or_else(|error| fatal_io("write the audit file", &error));
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotDir;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let (progress, members) = self.replica.progress();
        let membership: Membership =
            decode_members(&members).and_then(TryInto::try_into).map_err(io::Error::other)?;
        let applied = progress.applied.map(|position| LogIdImage::from(position).into());
        let set_at = members.position.map(|position| LogIdImage::from(position).into());
        Ok((applied, StoredMembership::new(set_at, membership)))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            // A majority may have it before this node's disk does. Rows reach the disk whenever RocksDB likes, and after a
            // power failure they must not know of an entry that the log has lost.
            self.log.until_durable(entry.log_id().index).await;
            reach("apply.sleep");
            reach("apply.before_batch");
            let replies = self.apply_one(entry);
            reach("apply.after_batch");
            if let Some(responder) = responder {
                responder.send(replies);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            replica: self.replica.clone(),
            snapshots: Arc::clone(&self.snapshots),
            root: self.root.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotDir,
    ) -> Result<(), io::Error> {
        let position = meta.last_log_id.map(to_position);
        // From here the state machine may be ahead of the log, and a restart must know why.
        if let Some(position) = position {
            durable(|done| self.log.save_received(position, done)).await?;
        }
        let (replica, generations) = (self.replica.clone(), Arc::clone(&self.generations));
        let unpacked = snapshot.clone();
        blocking(move || install(&replica, &generations, &unpacked, position)).await??;
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).adopt(snapshot);
        self.observer.replaced();
        tracing::info!(index = position.map(|position| position.index), "installed a snapshot");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<SnapshotDir>>, io::Error> {
        let current = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).current();
        current.map(|snapshot| Ok(Snapshot { meta: snapshot.meta()?, snapshot })).transpose()
    }
}

/// Unpacks into the next generation, checks it, makes it count, and only then lets readers see it.
fn install(
    replica: &Replica,
    generations: &Mutex<Generations>,
    snapshot: &SnapshotDir,
    position: Option<Position>,
) -> io::Result<()> {
    let mut generations = generations.lock().unwrap_or_else(PoisonError::into_inner);
    let path = generations.next_path()?;
    snapshot.unpack(&path)?;
    let rows = replica.rows().open_other(&path).map_err(io::Error::other)?;
    let found = rows.progress().map_err(io::Error::other)?.applied;
    if found != position {
        return Err(io::Error::other(format!(
            "the snapshot says that it covers {position:?}, but its rows {found:?}"
        )));
    }
    reach("snap.before_current_swap");
    #[cfg(feature = "mutants")]
    if raftwork_kernel::mutants::mutant("M11") {
        rows.lose_what_has_ended();
    }
    generations.advance()?;
    reach("snap.after_current_swap");
    let old = replica.rows();
    replica.replace(rows).map_err(io::Error::other)?;
    folder::Folder::replaced(old.folder());
    Ok(())
}

/// Makes snapshots while entries are applied.
pub struct Builder {
    replica: Replica,
    snapshots: Arc<Mutex<Snapshots>>,
    root: PathBuf,
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    type SnapshotData = SnapshotDir;

    async fn build_snapshot(&mut self) -> Result<Snapshot<SnapshotDir>, io::Error> {
        let (rows, root) = (self.replica.rows(), self.root.clone());
        let snapshot = blocking(move || SnapshotDir::build(&rows, &root)).await??;
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner).adopt(snapshot.clone());
        Ok(Snapshot { meta: snapshot.meta()?, snapshot })
    }
}
