//! Large payloads in the replay: parts are sent before the task, or before its completion, and one that is missing is missed.

use std::collections::{BTreeMap, BTreeSet};

use raftwork_api::kernel::{Status, TaskId};

use super::job::At;
use super::model::{Answer, Model};
use crate::history::{Fingerprint, Refusal, Whole};

/// Milliseconds after which what does not go on is forgotten.
const UPLOAD_KEPT_MS: u64 = 600_000;
/// Bounds of a payload.
const PARTS_MAX: u32 = 256;
const PART_BYTES_MAX: u64 = 1 << 20;

/// What is being sent, by task and token; 0 stands for arguments.
#[derive(Debug, Default)]
pub(super) struct Parts {
    sent: BTreeMap<(TaskId, u64), Sent>,
    /// Term of the leader that proposed what is being applied.
    term: u64,
    taken: Taken,
}

/// Payloads that were put together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) arguments: u64,
    pub(crate) results: u64,
    /// Of all of them, those whose parts came under more than one leadership.
    pub(crate) across: u64,
}

#[derive(Debug, Default)]
struct Sent {
    /// Fingerprint and size of each part.
    parts: BTreeMap<u32, (Fingerprint, u32)>,
    terms: BTreeSet<u64>,
    /// When it is forgotten.
    end: u64,
}

impl Parts {
    pub(super) fn forget_unfinished(&mut self, now: u64) {
        self.sent.retain(|_, sent| sent.end > now);
    }

    pub(super) const fn begin(&mut self, term: u64) {
        self.term = term;
    }

    /// What was put together since this was asked last.
    pub(super) fn tell(&mut self) -> Taken {
        core::mem::take(&mut self.taken)
    }
}

impl Model {
    /// What is refused changes nothing, and nobody asks for the answer.
    pub(super) fn store_part(&mut self, (task, token): (TaskId, u64), index: u32, part: (Fingerprint, u32)) {
        let fits = part.1 > 0 && u64::from(part.1) <= PART_BYTES_MAX && index < PARTS_MAX;
        let wanted =
            if token == 0 { !self.jobs.contains_key(&task) } else { self.newest(task, token).is_ok() };
        if !fits || !wanted {
            return;
        }
        if token > 0 {
            self.parts.sent.retain(|(other, older), _| *other != task || *older == 0 || *older == token);
        }
        let term = self.parts.term;
        let sent = self.parts.sent.entry((task, token)).or_default();
        sent.parts.entry(index).or_insert_with(|| {
            sent.terms.insert(term);
            sent.end = self.now.saturating_add(UPLOAD_KEPT_MS);
            part
        });
    }

    pub(super) fn complete_in_parts(&mut self, task: TaskId, token: u64, whole: &Whole) -> Answer {
        if !is_sound(whole) {
            return Err((Refusal::TooLarge, None));
        }
        if self.ended_under(task, token) == Some(Status::Completed) {
            return Ok(Some(Status::Completed));
        }
        let _: At = self.newest(task, token)?;
        self.take(task, token, whole)?;
        self.end(task, Status::Completed, Some(whole.digest));
        Ok(Some(Status::Completed))
    }

    /// Takes all parts of a payload, which must be what is said of it.
    pub(super) fn take(
        &mut self,
        task: TaskId,
        token: u64,
        whole: &Whole,
    ) -> Result<(), (Refusal, Option<u64>)> {
        let sent = self.parts.sent.get(&(task, token));
        let is_whole = is_sound(whole)
            && sent.is_some_and(|sent| {
                let bytes: u64 = sent.parts.values().map(|(_, bytes)| u64::from(*bytes)).sum();
                sent.parts.keys().copied().eq(0..whole.count) && bytes == whole.bytes
            });
        if !is_whole {
            return Err((Refusal::PayloadIncomplete, None));
        }
        let sent = self.parts.sent.remove(&(task, token));
        let Taken { arguments, results, across } = &mut self.parts.taken;
        *(if token == 0 { arguments } else { results }) += 1;
        *across += u64::from(sent.is_some_and(|sent| sent.terms.len() > 1));
        Ok(())
    }
}

fn is_sound(whole: &Whole) -> bool {
    let Whole { count, bytes, .. } = *whole;
    (1..=PARTS_MAX).contains(&count)
        && (u64::from(count)..=u64::from(count) * PART_BYTES_MAX).contains(&bytes)
}
