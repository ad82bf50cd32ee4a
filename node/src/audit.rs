//! The audit file: every entry that this node applied, in order, for whoever checks the cluster.
//!
//! The log forgets what a snapshot covers; this file forgets nothing. It is written before the entry is applied, and never
//! synced: it outlives the process, not the machine. After a crash entries are applied again, and are here twice.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use bytes::BufMut;

use crate::store::log::Position;

/// An open audit file.
///
/// Every record: length and CRC-32 of what follows (4 bytes each); index, term and node (8 bytes each); the entry as the
/// log holds it, or nothing for a blank entry or a membership. All numbers are little endian.
#[derive(Debug)]
pub struct Audit {
    file: File,
}

impl Audit {
    /// Opens the file for appending, or makes it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    /// Writes one entry, in one piece: a kill leaves whole records and at most one torn one, at the end.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn write(&self, position: Position, entry: &[u8]) -> io::Result<()> {
        (&self.file).write_all(&record(position, entry))
    }
}

fn record(position: Position, entry: &[u8]) -> Vec<u8> {
    /// Length and checksum.
    const HEAD: usize = 8;
    let mut bytes = Vec::with_capacity(HEAD + 24 + entry.len());
    bytes.put_bytes(0, HEAD);
    bytes.put_u64_le(position.index);
    bytes.put_u64_le(position.term);
    bytes.put_u64_le(position.node);
    bytes.extend_from_slice(entry);
    let length = u32::try_from(bytes.len() - HEAD).expect("the log bounds entries");
    let checksum = crc32fast::hash(&bytes[HEAD..]);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_laid_out_as_described() {
        let bytes = record(Position { index: 7, term: 2, node: 1 }, b"entry");
        assert_eq!(bytes[..4], 29_u32.to_le_bytes());
        assert_eq!(bytes[4..8], crc32fast::hash(&bytes[8..]).to_le_bytes());
        assert_eq!(bytes[8..16], 7_u64.to_le_bytes());
        assert_eq!(&bytes[32..], b"entry");
    }

    #[test]
    fn a_second_start_goes_on_where_the_first_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        let position = Position { index: 1, term: 1, node: 1 };
        for _ in 0..2 {
            Audit::open(&path).unwrap().write(position, b"entry").unwrap();
        }
        assert_eq!(
            std::fs::read(&path).unwrap(),
            [record(position, b"entry"), record(position, b"entry")].concat()
        );
    }
}
