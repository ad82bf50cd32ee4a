//! Large payloads in the replay: parts are sent before the task, or before its completion, and one that is missing is missed.

use std::collections::BTreeMap;

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
pub(super) struct Parts(BTreeMap<(TaskId, u64), Sent>);

#[derive(Debug, Default)]
struct Sent {
    /// Fingerprint and size of each part.
    parts: BTreeMap<u32, (Fingerprint, u32)>,
    /// When it is forgotten.
    end: u64,
}

impl Parts {
    pub(super) fn forget_unfinished(&mut self, now: u64) {
        self.0.retain(|_, sent| sent.end > now);
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
            self.parts.0.retain(|(other, older), _| *other != task || *older == 0 || *older == token);
        }
        let sent = self.parts.0.entry((task, token)).or_default();
        sent.parts.entry(index).or_insert_with(|| {
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
        let sent = self.parts.0.get(&(task, token));
        let is_whole = is_sound(whole)
            && sent.is_some_and(|sent| {
                let bytes: u64 = sent.parts.values().map(|(_, bytes)| u64::from(*bytes)).sum();
                sent.parts.keys().copied().eq(0..whole.count) && bytes == whole.bytes
            });
        if !is_whole {
            return Err((Refusal::PayloadIncomplete, None));
        }
        self.parts.0.remove(&(task, token));
        Ok(())
    }
}

fn is_sound(whole: &Whole) -> bool {
    let Whole { count, bytes, .. } = *whole;
    (1..=PARTS_MAX).contains(&count)
        && (u64::from(count)..=u64::from(count) * PART_BYTES_MAX).contains(&bytes)
}
