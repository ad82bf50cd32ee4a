//! `complete_in_parts`: records a result whose parts have been stored, if nobody was granted the task since.

use super::transition::{Superseded, Transition};
use crate::command::CompleteInParts;
use crate::parts::PayloadId;
use crate::record::{Outcome, Status};
use crate::reply::{Accepted, Rejection, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn complete_in_parts(&mut self, command: &CompleteInParts) -> Reply {
        let CompleteInParts { lease, parts, output } = command;
        parts.check().map_err(Rejection::Invalid)?;
        match self.check_newest(lease) {
            Ok(slot) => {
                self.take_payload(PayloadId::result(*lease), parts)?;
                self.put_output(*lease, output);
                self.finish(slot, Outcome::CompletedInParts(*parts));
                Ok(Accepted::Completed)
            }
            Err(Superseded::Ended(record))
                if record.token == lease.token && record.outcome.status() == Status::Completed =>
            {
                Ok(Accepted::Completed)
            }
            Err(superseded) => Err(superseded.refuse(lease)),
        }
    }
}
