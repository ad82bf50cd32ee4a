//! `store_part`: keeps a part of large arguments or of a large result. A repeat changes nothing.

use super::bounds::within;
use super::transition::{Superseded, Transition};
use crate::command::StorePart;
use crate::ids::Token;
use crate::limits::{PART_BYTES_MAX, PARTS_MAX, PAYLOAD_UPLOADS_MAX, UPLOAD_KEPT};
use crate::parts::PayloadId;
use crate::record::Outcome;
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn store_part(&mut self, command: &StorePart) -> Reply {
        let StorePart { of, index, bytes } = command;
        if bytes.is_empty() {
            return Err(Rejection::Invalid("a part of no bytes says nothing".to_owned()));
        }
        within("the size of a part", bytes.len(), PART_BYTES_MAX)?;
        within("the number of parts", (*index as usize).saturating_add(1), PARTS_MAX)?;
        if !self.is_awaited(of)? {
            return Ok(Accepted::Stored);
        }
        let known = self.state.payloads.get(of);
        if known.is_some_and(|upload| upload.pieces.contains_key(index)) {
            let same = self.part(of, *index).as_ref() == Some(bytes);
            let conflict = Rejection::PartConflict { task: of.task, token: of.token, part: *index };
            return if same { Ok(Accepted::Stored) } else { Err(conflict) };
        }
        let mut upload = known.cloned().unwrap_or_default();
        if upload.pieces.is_empty() {
            let older = self.older_results(of);
            let others = self.state.payloads.len() - older.len();
            within("the number of payloads that are being sent in parts", others + 1, PAYLOAD_UPLOADS_MAX)?;
            for older in older {
                self.drop_payload(older);
            }
        }
        upload.pieces.insert(*index, u32::try_from(bytes.len()).expect("bounded by PART_BYTES_MAX"));
        upload.expires = self.now().after(UPLOAD_KEPT);
        self.put_part(*of, *index, bytes.clone());
        self.put_payload_upload(*of, upload);
        Ok(Accepted::Stored)
    }

    /// Whether parts of a payload are still wanted. Those of one that was accepted come again from a sender whose answers
    /// were lost: it is told apart from another one by what it says of the whole.
    fn is_awaited(&self, of: &PayloadId) -> Result<bool, Rejection> {
        let Some(lease) = of.lease() else { return Ok(self.task_row(&of.task).is_none()) };
        match self.check_newest(&lease) {
            Ok(_) => Ok(true),
            Err(Superseded::Ended(record))
                if record.token == lease.token && matches!(record.outcome, Outcome::CompletedInParts(_)) =>
            {
                Ok(false)
            }
            Err(superseded) => Err(superseded.refuse(&lease)),
        }
    }

    /// What attempts before this one have left unfinished.
    fn older_results(&self, of: &PayloadId) -> Vec<PayloadId> {
        let Some(lease) = of.lease() else { return Vec::new() };
        let place = |token| PayloadId { task: lease.task, token };
        let results = self.state.payloads.between(place(Token(1)), place(lease.token));
        results.filter(|other| other != of).collect()
    }
}
