//! What one entry does to large payloads: which parts it wrote, and which payloads became a task's or were dropped.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::lookup::Lookup;
use super::transition::Transition;
use crate::parts::{InParts, PayloadId};
use crate::reply::Rejection;
use crate::rows::{Change, Rows};
use crate::state::State;
use crate::uploads::Upload;

/// Made by the first command of an entry that is about a large payload: most entries have none.
#[derive(Debug, Default)]
pub(super) struct PartChanges {
    /// Payloads of which the entry stored parts: each is written once, as it stands at the end of the entry.
    touched: BTreeSet<PayloadId>,
    /// Parts that the entry wrote.
    parts: Lookup<(PayloadId, u32), Bytes>,
}

impl PartChanges {
    /// The rows of all that is being sent, at the end of the entry.
    pub(super) fn rows(self, state: &State) -> impl Iterator<Item = Change> {
        self.touched.into_iter().filter_map(|of| {
            let upload = state.payloads.get(&of)?.clone();
            Some(Change::PutPayloadUpload { of, upload })
        })
    }
}

impl<R: Rows> Transition<'_, R> {
    pub(super) fn part(&self, of: &PayloadId, index: u32) -> Option<Bytes> {
        let written = self.parts.as_ref().and_then(|parts| parts.parts.get(&(*of, index)).cloned());
        written.or_else(|| self.rows.part(of, index))
    }

    pub(super) fn put_part(&mut self, of: PayloadId, index: u32, bytes: Bytes) {
        self.parts_mut().parts.insert((of, index), bytes.clone());
        self.changes.push(Change::PutPart { of, index, bytes });
    }

    pub(super) fn put_payload_upload(&mut self, of: PayloadId, upload: Upload) {
        self.state.payloads.put(of, upload);
        self.parts_mut().touched.insert(of);
    }

    /// Drops what was sent of a payload.
    pub(super) fn drop_payload(&mut self, of: PayloadId) {
        if let Some(upload) = self.state.payloads.remove(&of) {
            self.delete_parts(of, upload.end());
            self.changes.push(Change::DeletePayloadUpload { of });
        }
    }

    /// Drops the parts of a payload.
    pub(super) fn delete_parts(&mut self, of: PayloadId, count: u32) {
        self.changes.push(Change::DeleteParts { of, count });
    }

    /// Makes a payload its task's, if all of it is there: it goes with the task from now on.
    pub(super) fn take_payload(&mut self, of: PayloadId, parts: &InParts) -> Result<(), Rejection> {
        self.check_payload(of, parts)?;
        self.state.payloads.remove(&of);
        self.changes.push(Change::DeletePayloadUpload { of });
        Ok(())
    }

    fn check_payload(&self, of: PayloadId, parts: &InParts) -> Result<(), Rejection> {
        let missing = |part| Rejection::PartMissing { task: of.task, token: of.token, part };
        let upload = self.state.payloads.get(&of).ok_or_else(|| missing(0))?;
        let (there, count, bytes) = (upload.unbroken(), upload.pieces.len(), upload.size());
        if there < parts.count {
            return Err(missing(there));
        }
        if count != parts.count as usize || bytes != parts.bytes {
            return Err(Rejection::Invalid(format!(
                "{count} parts of {bytes} bytes in all were sent, not {} of {}",
                parts.count, parts.bytes
            )));
        }
        Ok(())
    }

    fn parts_mut(&mut self) -> &mut PartChanges {
        self.parts.get_or_insert_default()
    }
}
