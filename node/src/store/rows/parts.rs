//! Rows of large payloads: their parts, and what is there of those that are being sent.

use bytes::Bytes;
use raftwork_kernel::{Change, PayloadId, Upload, encode};

use super::columns::Column;
use super::{RowStore, keys, put};
use crate::store::disk::Batch;

impl RowStore {
    /// Stages a change that is about a large payload; others are none of its business.
    pub(super) fn stage_part(batch: &mut dyn Batch, change: &Change) {
        if let Change::PutPayloadUpload { of, upload } = change {
            put(batch, Column::PayloadUploads, &keys::payload(*of), &encode(upload));
        } else if let Change::DeletePayloadUpload { of } = change {
            batch.delete(Column::PayloadUploads.name(), &keys::payload(*of));
        } else if let Change::PutPart { of, index, bytes } = change {
            put(batch, Column::Parts, &keys::part(*of, *index), bytes);
        } else if let Change::DeleteParts { of, count } = change {
            (0..*count).for_each(|index| batch.delete(Column::Parts.name(), &keys::part(*of, index)));
        }
    }

    /// A part of a large payload: there until its upload is dropped, or its task forgotten.
    pub(super) fn part_row(&self, of: PayloadId, index: u32) -> Option<Bytes> {
        self.get(Column::Parts, &keys::part(of, index)).map(Bytes::from)
    }

    pub(super) fn all_payload_uploads(&self) -> Vec<(PayloadId, Upload)> {
        let of = |key: &[u8]| keys::parse_payload(key).expect("every key of this column names a payload");
        let rows = self.scan_prefix(Column::PayloadUploads, &[]);
        rows.map(|(key, value)| (of(&key), self.decoded("upload", &value))).collect()
    }
}
