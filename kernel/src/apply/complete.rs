//! `complete`: records a result, if nobody was granted the task since. Late but unsuperseded wins.

use super::bounds::within;
use super::transition::{Superseded, Transition};
use crate::command::Complete;
use crate::limits::RESULT_BYTES_MAX;
use crate::record::{Outcome, Status};
use crate::reply::{Accepted, Reply};
use crate::rows::Rows;

impl<R: Rows> Transition<'_, R> {
    pub(super) fn complete(&mut self, command: &Complete) -> Reply {
        within("the size of the result", command.result.len(), RESULT_BYTES_MAX)?;
        match self.check_newest(&command.lease) {
            Ok(slot) => {
                self.put_output(command.lease, &command.output);
                self.finish(slot, Outcome::Completed(command.result.clone()));
                Ok(Accepted::Completed)
            }
            Err(Superseded::Ended(record))
                if record.token == command.lease.token && record.outcome.status() == Status::Completed =>
            {
                Ok(Accepted::Completed)
            }
            #[cfg(feature = "mutants")]
            Err(Superseded::Ended(record)) if crate::mutants::mutant("M21") => {
                self.overwrite(command.lease.task, Outcome::Completed(command.result.clone()), *record);
                Ok(Accepted::Completed)
            }
            Err(superseded) => Err(superseded.refuse(&command.lease)),
        }
    }
}
