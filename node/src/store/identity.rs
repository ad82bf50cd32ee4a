//! Whose data folder this is: `identity.json`, and the lock that keeps a second process out.
//!
//! A Raft node that starts on another node's folder would vote with another's memory, and two processes on one folder would
//! vote twice. Both are refused, with both sides named.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::durable;

const IDENTITY_FILE: &str = "identity.json";
const LOCK_FILE: &str = "lock";
/// Version of the identity file.
const FORMAT: u32 = 1;

/// Who owns a data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    format: u32,
    /// Name of the cluster.
    pub cluster: String,
    /// Id of the node within it.
    pub node_id: u64,
    /// Drawn when the folder was made: tells a node from one that was rebuilt under its name.
    pub incarnation: Uuid,
    /// Whether the folder has had a log, which must then be there.
    pub has_log: bool,
}

/// Why a data folder may not be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The folder or a file in it cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has the folder.
    #[error(
        "data folder {path} is in use by process {holder}; this is process {own}, for node {node_id} of cluster {cluster:?}",
        path = path.display(), own = std::process::id()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Process id of the other, if it is known.
        holder: String,
        /// Who wanted it.
        cluster: String,
        /// Who wanted it.
        node_id: u64,
    },
    /// The folder is another node's.
    #[error(
        "data folder {path} belongs to node {found_node} of cluster {found_cluster:?}, but this is node {node_id} of \
         cluster {cluster:?}; give each node a folder of its own",
        path = path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner's cluster.
        found_cluster: String,
        /// Its owner.
        found_node: u64,
        /// Who wanted it.
        cluster: String,
        /// Who wanted it.
        node_id: u64,
    },
    /// There is data, but no identity.
    #[error(
        "data folder {path} holds {found}, but no {IDENTITY_FILE}; if it is a node's, restore the file, \
         else choose an empty folder",
        path = path.display()
    )]
    Unidentified {
        /// The folder.
        path: PathBuf,
        /// Something that is in it.
        found: String,
    },
    /// The identity file is not one.
    #[error("{path} is damaged ({source}); rebuild this node under a new folder", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The identity file is of another version.
    #[error("{path} has format {found}, and this version knows {FORMAT}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// A data folder that this process owns, until it is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

impl DataFolder {
    /// Takes the folder for a node, and makes it if it is not there.
    pub fn open(path: &Path, cluster: &str, node_id: u64) -> Result<Self, IdentityError> {
        std::fs::create_dir_all(path).map_err(|source| io_error(path, source))?;
        let lock = lock(path, cluster, node_id)?;
        let identity = match load(path)? {
            Some(identity) => identity,
            None => create(path, cluster, node_id)?,
        };
        if identity.cluster != cluster || identity.node_id != node_id {
            return Err(IdentityError::Foreign {
                path: path.to_owned(),
                found_cluster: identity.cluster,
                found_node: identity.node_id,
                cluster: cluster.to_owned(),
                node_id,
            });
        }
        Ok(Self { path: path.to_owned(), identity, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Notes, durably, that the folder has a log now. From then on a missing log is a lost one.
    pub fn note_log(&mut self) -> Result<(), IdentityError> {
        if self.identity.has_log {
            return Ok(());
        }
        self.identity.has_log = true;
        store(&self.path, &self.identity)
    }
}

fn lock(path: &Path, cluster: &str, node_id: u64) -> Result<File, IdentityError> {
    let file_path = path.join(LOCK_FILE);
    let failed = |source| io_error(&file_path, source);
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).write(true).create(true).truncate(false).open(&file_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(failed)?;
            let holder =
                if holder.trim().is_empty() { "of unknown id".to_owned() } else { holder.trim().to_owned() };
            return Err(IdentityError::InUse {
                path: path.to_owned(),
                holder,
                cluster: cluster.to_owned(),
                node_id,
            });
        }
    }
    // The id is a courtesy to whoever is refused; the lock itself is the kernel's, and ends with the process.
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

fn load(path: &Path) -> Result<Option<Identity>, IdentityError> {
    let file = path.join(IDENTITY_FILE);
    let text = match std::fs::read(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io_error(&file, source)),
    };
    let identity: Identity = match serde_json::from_slice(&text) {
        Ok(identity) => identity,
        Err(source) => return Err(IdentityError::Unreadable { path: file, source }),
    };
    if identity.format == FORMAT {
        return Ok(Some(identity));
    }
    Err(IdentityError::Format { path: file, found: identity.format })
}

fn create(path: &Path, cluster: &str, node_id: u64) -> Result<Identity, IdentityError> {
    let failed = |source| io_error(path, source);
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let aside = durable::aside(Path::new(IDENTITY_FILE));
        if name != *LOCK_FILE && name != *aside.as_os_str() {
            return Err(IdentityError::Unidentified {
                path: path.to_owned(),
                found: name.display().to_string(),
            });
        }
    }
    let identity = Identity {
        format: FORMAT,
        cluster: cluster.to_owned(),
        node_id,
        incarnation: Uuid::new_v4(),
        has_log: false,
    };
    store(path, &identity)?;
    Ok(identity)
}

/// Replaces the file so that a crash leaves the old one or the new one, whole.
fn store(path: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let file = path.join(IDENTITY_FILE);
    let mut text = serde_json::to_vec_pretty(identity).expect("an identity is plain data");
    text.push(b'\n');
    durable::write(&file, &text).map_err(|source| io_error(&file, source))
}

fn io_error(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_folder_keeps_its_identity() {
        let folder = folder();
        let path = folder.path().join("made/on/demand");
        let mut first = DataFolder::open(&path, "main", 2).unwrap();
        first.note_log().unwrap();
        let identity = first.identity().clone();
        drop(first);
        let again = DataFolder::open(&path, "main", 2).unwrap();
        assert_eq!((again.identity(), again.identity().has_log), (&identity, true));
    }

    #[test]
    fn another_nodes_folder_is_refused_and_both_are_named() {
        let folder = folder();
        drop(DataFolder::open(folder.path(), "main", 2).unwrap());
        for (cluster, node_id) in [("main", 3), ("other", 2)] {
            let error = DataFolder::open(folder.path(), cluster, node_id).unwrap_err().to_string();
            let sides =
                ["node 2 of cluster \"main\"".to_owned(), format!("node {node_id} of cluster {cluster:?}")];
            assert!(sides.iter().all(|side| error.contains(side)), "{error}");
        }
    }

    /// The lock belongs to the open file, so a second handle in this process is as foreign as another process.
    #[test]
    fn a_folder_in_use_is_refused_and_its_holder_is_named() {
        let folder = folder();
        let held = DataFolder::open(folder.path(), "main", 2).unwrap();
        let error = DataFolder::open(folder.path(), "main", 2).unwrap_err();
        assert!(matches!(error, IdentityError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(held);
        DataFolder::open(folder.path(), "main", 2).unwrap();
    }

    #[test]
    fn data_without_identity_is_refused() {
        let folder = folder();
        std::fs::create_dir(folder.path().join("log")).unwrap();
        let error = DataFolder::open(folder.path(), "main", 1).unwrap_err();
        assert!(matches!(&error, IdentityError::Unidentified { found, .. } if found == "log"), "{error}");
    }

    #[test]
    fn a_damaged_or_newer_identity_is_refused() {
        let folder = folder();
        drop(DataFolder::open(folder.path(), "main", 1).unwrap());
        let file = folder.path().join(IDENTITY_FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        let error = DataFolder::open(folder.path(), "main", 1).unwrap_err();
        assert!(matches!(error, IdentityError::Format { found: 2, .. }), "{error}");
        std::fs::write(&file, &text[..20]).unwrap();
        let error = DataFolder::open(folder.path(), "main", 1).unwrap_err();
        assert!(matches!(error, IdentityError::Unreadable { .. }), "{error}");
    }

    /// A crash between writing and renaming leaves a temporary file, which is no foreign data.
    #[test]
    fn a_crash_while_the_folder_is_made_does_no_harm() {
        let folder = folder();
        std::fs::write(durable::aside(&folder.path().join(IDENTITY_FILE)), "{").unwrap();
        DataFolder::open(folder.path(), "main", 1).unwrap();
    }
}
