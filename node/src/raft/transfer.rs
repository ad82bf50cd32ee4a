//! Snapshots between nodes: a folder of files, sent one after the other, each with its checksum.
//!
//! The receiver writes into a folder of its own (`recv-<uuid>`), checks every byte, makes it durable and only then
//! hands it over; whatever ends early leaves nothing behind. What a snapshot *is* belongs to the state machine, which
//! says so by [`SnapshotFiles`].

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::storage::RaftStateMachine;
use raftwork_kernel::mutants::mutant;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::blocking::blocking;
use super::types::{SnapshotMeta, TypeConfig};
use crate::failpoint::reach;

/// Bytes in one frame of a snapshot: few system calls, and small beside what a disk does in the time of a heartbeat.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks that may wait between the disk and the network: enough to keep both busy.
const CHUNKS_MAX: usize = 4;
/// Folders that are being received are named so.
const RECEIVING: &str = "recv-";

/// The files of a snapshot: what the transfer must know of a state machine's snapshot.
pub trait SnapshotFiles: Sized + Send + 'static {
    /// The folder that they are in. They stay there, unchanged, while `self` lives.
    fn dir(&self) -> &Path;

    /// All of them. Names are plain file names.
    fn files(&self) -> Vec<FileInfo>;

    /// Takes over a folder of verified, durable files that was received. Blocks.
    fn received(dir: PathBuf, meta: &SnapshotMeta, files: Vec<FileInfo>) -> io::Result<Self>;
}

/// A state machine that this module can run: one whose snapshots can be sent. Every such state machine is one.
pub trait Machine: RaftStateMachine<TypeConfig, SnapshotData: SnapshotFiles> {}

impl<SM> Machine for SM where SM: RaftStateMachine<TypeConfig, SnapshotData: SnapshotFiles> {}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Name within the folder.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// CRC-32 of the content.
    pub crc32: u32,
}

/// Why a snapshot did not get across.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A file cannot be read or written.
    #[error("snapshot file {path}: {source}", path = path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what its manifest says.
    #[error("snapshot file {name} is damaged: {what}")]
    Damaged {
        /// Which one.
        name: String,
        /// How.
        what: String,
    },
    /// A name that leads out of the folder.
    #[error("{name:?} is no name for a snapshot file")]
    Name {
        /// The name.
        name: String,
    },
    /// The sender went away, or sent too little.
    #[error("the snapshot ended before its last file was complete")]
    Incomplete,
    /// The sender sent what was not announced.
    #[error("the snapshot goes on after its last file")]
    Excess,
    /// The task that used the disk was ended.
    #[error("the transfer was stopped")]
    Stopped,
}

/// The bytes of a snapshot's files, in order, each with the index of its file.
#[derive(Debug)]
pub(super) struct Outgoing {
    chunks: mpsc::Receiver<Result<Bytes, TransferError>>,
}

impl Outgoing {
    /// Starts to read the files of `dir` ahead.
    pub(super) fn start(dir: PathBuf, files: Vec<FileInfo>) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS_MAX);
        tokio::spawn(async move {
            if let Err(error) = read_files(&dir, &files, &sender).await {
                // Nobody listens any more if this fails, and then nobody wants the error.
                let _ = sender.send(Err(error)).await;
            }
        });
        Self { chunks }
    }

    /// The payload of the next chunk, or `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, TransferError> {
        self.chunks.recv().await.transpose()
    }
}

async fn read_files(
    dir: &Path,
    files: &[FileInfo],
    sender: &mpsc::Sender<Result<Bytes, TransferError>>,
) -> Result<(), TransferError> {
    for (index, file) in (0u32..).zip(files) {
        let path = dir.join(&file.name);
        let mut reader = on_disk(&path, File::open).await?;
        let mut left = file.size;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
            let chunk;
            (reader, chunk) = on_disk(&path, move |_| read_chunk(reader, index, length)).await?;
            left -= length as u64;
            if sender.send(Ok(chunk)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn read_chunk(mut reader: File, index: u32, length: usize) -> io::Result<(File, Bytes)> {
    let mut chunk = BytesMut::zeroed(4 + length);
    (&mut chunk[..4]).put_u32_le(index);
    reader.read_exact(&mut chunk[4..])?;
    Ok((reader, chunk.freeze()))
}

/// Does something with the file or folder at `path`, where blocking is allowed.
async fn on_disk<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
) -> Result<T, TransferError> {
    let at = path.to_owned();
    let done = blocking(move || work(at)).await.map_err(|_| TransferError::Stopped)?;
    done.map_err(|source| TransferError::Io { path: path.to_owned(), source })
}

/// A snapshot on its way in.
#[derive(Debug)]
pub(super) struct Incoming {
    pieces: mpsc::Sender<Piece>,
    writer: tokio::task::JoinHandle<Result<PathBuf, TransferError>>,
}

#[derive(Debug)]
enum Piece {
    Chunk(Bytes),
    End,
}

impl Incoming {
    /// Begins to receive `files` into a new folder under `root`.
    pub(super) fn start(root: &Path, files: Vec<FileInfo>) -> Self {
        let (pieces, received) = mpsc::channel(CHUNKS_MAX);
        let dir = root.join(format!("{RECEIVING}{}", Uuid::new_v4()));
        let writer = tokio::spawn(async move {
            let result = receive(&dir, &files, received).await;
            if result.is_err() {
                remove(&dir);
            }
            result.map(|()| dir)
        });
        Self { pieces, writer }
    }

    /// Hands on a chunk's payload; false if no more is wanted, which [`Incoming::finish`] explains.
    pub(super) async fn chunk(&self, payload: Bytes) -> bool {
        self.pieces.send(Piece::Chunk(payload)).await.is_ok()
    }

    /// Everything was sent: waits until it is verified and durable, and gives the folder.
    pub(super) async fn finish(self) -> Result<PathBuf, TransferError> {
        // If the writer has ended already, it says why.
        let _ = self.pieces.send(Piece::End).await;
        self.writer.await.map_err(|_| TransferError::Stopped)?
    }
}

async fn receive(
    dir: &Path,
    files: &[FileInfo],
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<(), TransferError> {
    files.iter().try_for_each(check_name)?;
    on_disk(dir, std::fs::create_dir_all).await?;
    for (index, file) in (0u32..).zip(files) {
        receive_file(&dir.join(&file.name), index, file, &mut pieces).await?;
    }
    match pieces.recv().await {
        Some(Piece::End) => {}
        Some(Piece::Chunk(_)) => return Err(TransferError::Excess),
        None => return Err(TransferError::Incomplete),
    }
    on_disk(dir, sync_dir).await?;
    match dir.parent() {
        Some(parent) => on_disk(parent, sync_dir).await,
        None => Ok(()),
    }
}

async fn receive_file(
    path: &Path,
    index: u32,
    info: &FileInfo,
    pieces: &mut mpsc::Receiver<Piece>,
) -> Result<(), TransferError> {
    let damaged = |what: String| TransferError::Damaged { name: info.name.clone(), what };
    let mut file = on_disk(path, File::create_new).await?;
    let mut hasher = crc32fast::Hasher::new();
    let mut left = info.size;
    while left > 0 {
        let Some(Piece::Chunk(mut chunk)) = pieces.recv().await else {
            return Err(TransferError::Incomplete);
        };
        reach("snap.recv_mid_file");
        let of = chunk.try_get_u32_le().map_err(|_| damaged("a chunk names no file".into()))?;
        if of != index {
            return Err(damaged(format!("a chunk of file {of} came in its place")));
        }
        left = left
            .checked_sub(chunk.len() as u64)
            .ok_or_else(|| damaged(format!("more than its {} bytes came", info.size)))?;
        (file, hasher) = on_disk(path, move |_| {
            hasher.update(&chunk);
            file.write_all(&chunk).map(|()| (file, hasher))
        })
        .await?;
    }
    if mutant("M20") {
        return Ok(());
    }
    let found = hasher.finalize();
    if found != info.crc32 {
        return Err(damaged(format!("its checksum is {found:08x} and should be {:08x}", info.crc32)));
    }
    on_disk(path, move |_| file.sync_all()).await
}

fn check_name(file: &FileInfo) -> Result<(), TransferError> {
    let plain = Path::new(&file.name).file_name().is_some_and(|name| name == file.name.as_str());
    if plain { Ok(()) } else { Err(TransferError::Name { name: file.name.clone() }) }
}

fn sync_dir(dir: impl AsRef<Path>) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes what earlier transfers left under `root` when the process was killed. Call it before any can begin.
pub fn remove_partial(root: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(RECEIVING) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Removes the folder of a failed or refused transfer.
pub(super) fn remove(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(dir = %dir.display(), %error, "the remains of a snapshot could not be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, Vec<FileInfo>) {
        let folder = tempfile::tempdir().unwrap();
        let info = files.iter().map(|(name, content)| {
            std::fs::write(folder.path().join(name), content).unwrap();
            FileInfo { name: (*name).to_owned(), size: content.len() as u64, crc32: crc32fast::hash(content) }
        });
        let info = info.collect();
        (folder, info)
    }

    fn example() -> (tempfile::TempDir, Vec<FileInfo>) {
        let large = (0..CHUNK_BYTES * 2 + 17).map(|i| u8::try_from(i % 251).unwrap()).collect();
        folder(&[("CURRENT", b"MANIFEST-1\n".to_vec()), ("empty", Vec::new()), ("000007.sst", large)])
    }

    async fn transfer(
        dir: &Path,
        sent: &[FileInfo],
        announced: Vec<FileInfo>,
        root: &Path,
    ) -> Result<PathBuf, TransferError> {
        let mut outgoing = Outgoing::start(dir.to_owned(), sent.to_vec());
        let incoming = Incoming::start(root, announced);
        while let Some(chunk) = outgoing.next().await? {
            if !incoming.chunk(chunk).await {
                break;
            }
        }
        incoming.finish().await
    }

    fn left_behind(root: &Path) -> usize {
        std::fs::read_dir(root).unwrap().count()
    }

    #[tokio::test]
    async fn files_arrive_as_they_are() {
        let (source, files) = example();
        let root = tempfile::tempdir().unwrap();
        let dir = transfer(source.path(), &files, files.clone(), root.path()).await.unwrap();
        for file in &files {
            let (sent, arrived) = (source.path().join(&file.name), dir.join(&file.name));
            assert!(std::fs::read(sent).unwrap() == std::fs::read(arrived).unwrap(), "{}", file.name);
        }
        remove_partial(root.path()).unwrap();
        assert_eq!(left_behind(root.path()), 0);
    }

    /// A file that changed since its manifest was written is refused, and nothing stays.
    #[tokio::test]
    async fn a_damaged_file_is_refused() {
        let (source, files) = example();
        let root = tempfile::tempdir().unwrap();
        let path = source.path().join("000007.sst");
        let mut content = std::fs::read(&path).unwrap();
        content[CHUNK_BYTES + 5] ^= 1;
        std::fs::write(&path, content).unwrap();
        let error = transfer(source.path(), &files, files.clone(), root.path()).await.unwrap_err();
        assert!(matches!(&error, TransferError::Damaged { name, .. } if name == "000007.sst"), "{error}");
        assert_eq!(left_behind(root.path()), 0);
    }

    #[tokio::test]
    async fn too_little_and_too_much_are_refused() {
        let (source, files) = example();
        let root = tempfile::tempdir().unwrap();
        let error = transfer(source.path(), &files[..1], files.clone(), root.path()).await.unwrap_err();
        assert!(matches!(error, TransferError::Incomplete), "{error}");
        let error = transfer(source.path(), &files, files[..1].to_vec(), root.path()).await.unwrap_err();
        assert!(matches!(error, TransferError::Excess), "{error}");
        assert_eq!(left_behind(root.path()), 0);
    }

    /// A sender that vanishes ends the transfer.
    #[tokio::test]
    async fn a_vanished_sender_leaves_nothing() {
        let (_source, files) = example();
        let root = tempfile::tempdir().unwrap();
        let Incoming { pieces, writer } = Incoming::start(root.path(), files);
        drop(pieces);
        assert!(matches!(writer.await.unwrap(), Err(TransferError::Incomplete)));
        assert_eq!(left_behind(root.path()), 0);
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for name in ["../evil", "/etc/passwd", "a/b", "..", "", "a/"] {
            let files = vec![FileInfo { name: name.to_owned(), size: 0, crc32: 0 }];
            let error = Incoming::start(root.path(), files).finish().await.unwrap_err();
            assert!(matches!(error, TransferError::Name { .. }), "{name}: {error}");
        }
    }
}
