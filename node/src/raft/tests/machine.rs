//! A state machine for these tests: it remembers every entry that it was given, in memory, and snapshots to a file.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use openraft::OptionalSend;
use openraft::entry::RaftEntry;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::super::image::{self, SnapshotImage};
use super::super::transfer::{FileInfo, SnapshotFiles};
use super::super::types::{
    EntryBytes, EntryResponder, LogId, Payload, Replies, Snapshot, SnapshotMeta, StoredMembership, TypeConfig,
};

const STATE: &str = "state";

/// What the machine has seen. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    applied: Option<LogId>,
    membership: StoredMembership,
    entries: Vec<Bytes>,
    snapshot: Option<(SnapshotMeta, MemorySnapshot)>,
    installed: u64,
}

/// A snapshot: one file in a folder that goes with its last handle.
#[derive(Debug, Clone)]
pub(super) struct MemorySnapshot {
    folder: Arc<Folder>,
    files: Vec<FileInfo>,
}

#[derive(Debug)]
enum Folder {
    Built(TempDir),
    Received(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Built(folder) => folder.path(),
            Self::Received(path) => path,
        }
    }
}

impl SnapshotFiles for MemorySnapshot {
    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn files(&self) -> Vec<FileInfo> {
        self.files.clone()
    }

    fn received(dir: PathBuf, _meta: &SnapshotMeta, files: Vec<FileInfo>) -> io::Result<Self> {
        Ok(Self { folder: Arc::new(Folder::Received(dir)), files })
    }
}

/// The file of a snapshot.
#[derive(Serialize, Deserialize)]
struct State {
    entries: Vec<Vec<u8>>,
}

impl Machine {
    /// Every entry that was applied, in order, whether by itself or by a snapshot.
    pub(super) fn entries(&self) -> Vec<Bytes> {
        self.lock().entries.clone()
    }

    /// How many snapshots were installed.
    pub(super) fn installed(&self) -> u64 {
        self.lock().installed
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = MemorySnapshot;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let memory = self.lock();
        Ok((memory.applied, memory.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let mut memory = self.lock();
            memory.applied = Some(entry.log_id());
            match entry.payload {
                Payload::Blank => {}
                Payload::Normal(EntryBytes(bytes)) => memory.entries.push(bytes),
                Payload::Membership(membership) => {
                    memory.membership = StoredMembership::new(memory.applied, membership);
                }
            }
            drop(memory);
            if let Some(responder) = responder {
                responder.send(Replies::default());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: MemorySnapshot,
    ) -> Result<(), io::Error> {
        let bytes = std::fs::read(snapshot.dir().join(STATE))?;
        let state: State = image::decode(&bytes).map_err(io::Error::other)?;
        let mut memory = self.lock();
        memory.applied = meta.last_log_id;
        memory.membership = meta.last_membership.clone();
        memory.entries = state.entries.into_iter().map(Bytes::from).collect();
        memory.snapshot = Some((meta.clone(), snapshot));
        memory.installed += 1;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<MemorySnapshot>>, io::Error> {
        let snapshot = self.lock().snapshot.clone();
        Ok(snapshot.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = MemorySnapshot;

    async fn build_snapshot(&mut self) -> Result<Snapshot<MemorySnapshot>, io::Error> {
        let folder = tempfile::tempdir()?;
        let mut memory = self.lock();
        let meta = SnapshotMeta { last_log_id: memory.applied, last_membership: memory.membership.clone() };
        let content =
            image::encode(&State { entries: memory.entries.iter().map(|bytes| bytes.to_vec()).collect() });
        std::fs::write(folder.path().join(STATE), &content)?;
        // As a manifest has it: what the snapshot covers is a file of its own.
        let about = image::encode(&SnapshotImage::from(&meta));
        std::fs::write(folder.path().join("about"), &about)?;
        let files = [(STATE, content), ("about", about)].map(|(name, content)| FileInfo {
            name: name.to_owned(),
            size: content.len() as u64,
            crc32: crc32fast::hash(&content),
        });
        let snapshot = MemorySnapshot { folder: Arc::new(Folder::Built(folder)), files: files.to_vec() };
        memory.snapshot = Some((meta.clone(), snapshot.clone()));
        Ok(Snapshot { meta, snapshot })
    }
}
