//! Time: moves the clocks forward and does what has become due.

use super::transition::Transition;
use crate::command::Entry;
use crate::limits::DUE_PER_ENTRY_MAX;
use crate::live::Due;
use crate::record::{FailureKind, TaskError};
use crate::rows::Rows;
use crate::task::Phase;

impl<R: Rows> Transition<'_, R> {
    /// Neither clock ever goes back, whatever a new leader believes. What is dated goes by the entry's own calendar.
    pub(super) fn advance(&mut self, entry: &Entry) {
        let scalars = &mut self.state.scalars;
        scalars.log_time = scalars.log_time.max(entry.log_time);
        scalars.wall_time = scalars.wall_time.max(entry.wall_time);
        self.calendar = entry.wall_time;
        let now = scalars.log_time;
        self.state.live.relax_limits(now, DUE_PER_ENTRY_MAX);
        self.state.maps.begin(now);
        self.forget_uploads();
        let left = self.do_what_is_due(DUE_PER_ENTRY_MAX);
        for _ in 0..left {
            let Some((at, slot)) = self.state.live.next_dated() else { return };
            if at > self.calendar {
                return;
            }
            self.set_phase(slot, Phase::Ready);
        }
    }

    /// Does up to so many of the things that log time has made due; returns how many could be done beside them.
    fn do_what_is_due(&mut self, most: usize) -> usize {
        for done in 0..most {
            let Some((at, slot, due)) = self.state.live.next_due() else { return most - done };
            if at > self.now() {
                return most - done;
            }
            if due == Due::Deadline {
                assert!(self.end_if_late(slot), "a deadline that has passed was missed");
                continue;
            }
            match self.state.live.cell(slot).standing.phase {
                Phase::Waiting { .. } => self.set_phase(slot, Phase::Ready),
                Phase::Leased(_) => {
                    self.revoke(slot);
                    let error = overran();
                    let retryable = !self.is_final(slot, &error, &[]);
                    self.charge(slot, error, retryable);
                }
                Phase::Ready | Phase::Scheduled { .. } | Phase::Blocked { .. } => {
                    unreachable!("such a task is not due by log time")
                }
            }
        }
        0
    }

    /// What was never finished is dropped, without a word: whoever sends on is told what is missing.
    fn forget_uploads(&mut self) {
        while let Some((end, map)) = self.state.maps.uploads.next_end()
            && end <= self.now()
        {
            let upload = self.state.maps.uploads.remove(&map).expect("it has an end");
            self.delete_pieces(map, 0, upload.end());
            self.delete_upload(map);
        }
        while let Some((end, of)) = self.state.payloads.next_end()
            && end <= self.now()
        {
            self.drop_payload(of);
        }
    }
}

fn overran() -> TaskError {
    TaskError {
        kind: FailureKind::Timeout,
        type_name: String::new(),
        message: "the attempt overran its time limit, and its worker did not end it".to_owned(),
        traceback: String::new(),
        exception: None,
    }
}
