//! Snapshots of the rows: a RocksDB checkpoint in a folder of its own, with a manifest of files and checksums.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::image::{self, SnapshotImage};
use super::members::decode_members;
use super::transfer::{FileInfo, SnapshotFiles};
use super::types::SnapshotMeta;
use crate::failpoint::reach;
use crate::store::durable;
use crate::store::folder::Folder;
use crate::store::rows::RowStore;

const MANIFEST: &str = "raftwork-manifest";
const BUILDING: &str = "build-";

/// What the manifest says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Manifest {
    snapshot: SnapshotImage,
    files: Vec<FileInfo>,
}

/// A complete snapshot on this node's disk; a clone is another handle on it. Its folder goes with the last handle once a
/// newer snapshot has replaced it.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    folder: Arc<Folder>,
    manifest: Arc<Manifest>,
}

impl SnapshotDir {
    /// Makes a snapshot of `rows` as they are on disk after a flush, in a new folder under `root`. Blocks.
    ///
    /// What it covers is read from the copy itself: entries may be applied while it is made.
    pub(super) fn build(rows: &RowStore, root: &Path) -> io::Result<Self> {
        let building = root.join(format!("{BUILDING}{}", Uuid::now_v7()));
        reach("snap.before_checkpoint");
        rows.checkpoint(&building).map_err(io::Error::other)?;
        reach("snap.after_checkpoint_before_rename");
        let files = describe(&building)?;
        let snapshot = covered(rows, &building)?;
        Self::seal(&building, Manifest { snapshot, files })
    }

    /// Writes the manifest, makes everything durable, and gives the folder its final name.
    fn seal(dir: &Path, manifest: Manifest) -> io::Result<Self> {
        durable::write(&dir.join(MANIFEST), &image::encode(&manifest))?;
        durable::sync_files(dir)?;
        let index = manifest.snapshot.last.map_or(0, |last| last.index);
        let path = dir.with_file_name(format!("{index:020}-{}", Uuid::now_v7()));
        durable::rename(dir, &path)?;
        Ok(Self { folder: Arc::new(Folder::new(&path)), manifest: Arc::new(manifest) })
    }

    fn open(path: &Path) -> io::Result<Self> {
        let bytes = fs_err::read(path.join(MANIFEST))?;
        let manifest = image::decode(&bytes).map_err(|error| {
            io::Error::other(format!("the manifest of snapshot {}: {error}", path.display()))
        })?;
        Ok(Self { folder: Arc::new(Folder::new(path)), manifest: Arc::new(manifest) })
    }

    /// What it covers.
    pub(super) fn meta(&self) -> io::Result<SnapshotMeta> {
        self.manifest.snapshot.clone().try_into().map_err(io::Error::other)
    }

    /// Makes rows out of it in the new folder `to`: table files are linked, for they never change; the rest is copied. Blocks.
    pub(super) fn unpack(&self, to: &Path) -> io::Result<()> {
        fs_err::create_dir(to)?;
        for file in &self.manifest.files {
            let from = self.dir().join(&file.name);
            if Path::new(&file.name).extension().is_some_and(|extension| extension == "sst") {
                fs_err::hard_link(from, to.join(&file.name))?;
            } else {
                fs_err::copy(from, to.join(&file.name))?;
            }
        }
        durable::sync_files(to)?;
        durable::sync_folder(to.parent().unwrap_or_else(|| Path::new(".")))
    }
}

impl SnapshotFiles for SnapshotDir {
    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn files(&self) -> Vec<FileInfo> {
        self.manifest.files.clone()
    }

    fn received(dir: PathBuf, meta: &SnapshotMeta, files: Vec<FileInfo>) -> io::Result<Self> {
        Self::seal(&dir, Manifest { snapshot: SnapshotImage::from(meta), files })
    }
}

/// The newest snapshot on this node's disk.
#[derive(Debug)]
pub(super) struct Snapshots {
    current: Option<SnapshotDir>,
}

impl Snapshots {
    /// Finds the newest complete snapshot under `root`, and removes everything else there. Blocks.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        fs_err::create_dir_all(root)?;
        let mut paths: Vec<PathBuf> =
            fs_err::read_dir(root)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        paths.sort();
        let newest = paths.iter().rposition(|path| path.join(MANIFEST).exists() && is_final(path));
        let current = newest.map(|at| SnapshotDir::open(&paths.remove(at))).transpose()?;
        for path in paths {
            fs_err::remove_dir_all(path)?;
        }
        Ok(Self { current })
    }

    /// The newest snapshot.
    pub(super) fn current(&self) -> Option<SnapshotDir> {
        self.current.clone()
    }

    /// Puts a newer snapshot in its place.
    pub(super) fn adopt(&mut self, newer: SnapshotDir) {
        if let Some(older) = self.current.replace(newer) {
            older.folder.replaced();
        }
    }
}

/// A folder under its final name begins with a digit.
fn is_final(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_digit()))
}

/// What the rows in `dir` are worth, as they say themselves.
fn covered(source: &RowStore, dir: &Path) -> io::Result<SnapshotImage> {
    let rows = source.read_other(dir).map_err(io::Error::other)?;
    let progress = rows.progress().map_err(io::Error::other)?;
    let members = rows.members().map_err(io::Error::other)?;
    Ok(SnapshotImage {
        last: progress.applied.map(Into::into),
        membership_at: members.position.map(Into::into),
        membership: decode_members(&members).map_err(io::Error::other)?,
    })
}

/// Every file of a checkpoint with its size and checksum. Called before anything else opens the folder.
fn describe(dir: &Path) -> io::Result<Vec<FileInfo>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| io::Error::other(format!("file name {}", name.display())))?;
        let (size, crc32) = checksum(&entry.path())?;
        files.push(FileInfo { name, size, crc32 });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = fs_err::File::open(path)?;
    let mut hashing = Hashing { hasher: crc32fast::Hasher::new() };
    let size = io::copy(&mut file, &mut hashing)?;
    Ok((size, hashing.hasher.finalize()))
}

struct Hashing {
    hasher: crc32fast::Hasher,
}

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
