//! Replays the Raft log through a naive model, and notes what it implies for every task.

mod attempts;
mod depend;
mod job;
mod maps;
mod model;
mod parts;

pub(crate) use self::model::Model;
pub(crate) use self::parts::Taken;

use crate::history::LogEntry;

/// How much of the log a history holds.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Index of the last entry.
    pub(crate) last: u64,
    /// Why the log cannot be replayed to its end, if it cannot.
    pub(crate) incomplete: Option<String>,
    /// Two different entries under one index.
    pub(crate) forks: Vec<(LogEntry, LogEntry)>,
    /// Entries whose log time is less than one before: index, time, time before.
    pub(crate) back_in_time: Vec<(u64, u64, u64)>,
    /// Leases that were ended because their worker was silent.
    pub(crate) expiries: u64,
    /// Tasks that waited for others, and then might start.
    pub(crate) released: u64,
    /// Tasks that failed because one that they were to run after ended without a result.
    pub(crate) broken: u64,
    /// Payloads that were put together of parts.
    pub(crate) parts: Taken,
    /// The latest log time.
    latest: u64,
    before: Option<LogEntry>,
}

impl Log {
    /// Takes the next line; true if the model is to apply it.
    pub(crate) fn accept(&mut self, entry: &LogEntry) -> bool {
        // Raft numbers from 0 or from 1; the first entry is its own membership.
        let is_first = self.before.is_none() && entry.index <= 1;
        if !is_first && (self.before.is_none() || entry.index != self.last + 1) {
            self.again(entry);
            return false;
        }
        self.last = entry.index;
        if let Some(log_ms) = entry.log_ms {
            if log_ms < self.latest {
                self.back_in_time.push((entry.index, log_ms, self.latest));
            }
            self.latest = self.latest.max(log_ms);
        }
        self.before = Some(entry.clone());
        self.incomplete.is_none()
    }

    /// A line that does not carry on: another node's copy, or a gap.
    fn again(&mut self, entry: &LogEntry) {
        match &self.before {
            Some(before) if before.index == entry.index => {
                let alike = before.term == entry.term
                    && before.log_ms == entry.log_ms
                    && before.commands == entry.commands;
                if !alike {
                    self.forks.push((before.clone(), entry.clone()));
                }
            }
            Some(_) | None => {
                let last = self.last;
                self.incomplete.get_or_insert_with(|| {
                    format!(
                        "the log has entry {} after entry {last}: the ones between are missing",
                        entry.index
                    )
                });
                self.last = self.last.max(entry.index);
                self.before = Some(entry.clone());
            }
        }
    }

    /// Whether there is a whole log to hold answers against, or why not.
    pub(crate) fn whole(&self) -> Result<(), String> {
        if self.before.is_none() {
            return Err("the history holds no Raft log".to_owned());
        }
        self.incomplete.clone().map_or(Ok(()), Err)
    }
}
