//! Schedules: tasks that are submitted again and again, at nominal times that whoever leads works out.
//!
//! The kernel knows no calendar. It keeps what a schedule is, as text that it does not read, and the last nominal time
//! that was dealt with; a `fire` names that time and those to fire for, and is refused unless the first is still the last.
//! So each nominal time is dealt with once, in the order of the log, whatever two leaders believe of time zones.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{FunctionId, ScheduleId, TaskId};
use crate::limits::{SCHEDULE_ARGS_BYTES_MAX, SCHEDULE_NAME_CHARS_MAX, SCHEDULE_TEXT_BYTES_MAX};
use crate::mix::mix;
use crate::payload;
use crate::rules::{Rule, Rules};
use crate::task::TaskOptions;
use crate::time::{Millis, WallTime};

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Timing {
    /// At the times of a calendar.
    Cron {
        /// The pattern, as in `30 9 * * MON-FRI`.
        pattern: String,
        /// Name of the time zone in the IANA data, as in `Europe/Berlin`.
        zone: String,
    },
    /// Again and again after the same span of real time.
    Every {
        /// The span; at least a second.
        span: Millis,
        /// A nominal time from which the others are counted; none: the moment at which the schedule was made.
        from: Option<WallTime>,
    },
}

/// What becomes of nominal times that passed while no leader could fire for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CatchUp {
    /// Those older than a minute are left out.
    Skip,
    /// Only the latest one is fired for.
    Latest,
    /// All are fired for, oldest first; of more than so many, the latest so many.
    All(u16),
}

/// What becomes of a nominal time at which a task of the schedule has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overlap {
    /// Another task is submitted all the same.
    Allow,
    /// It is left out.
    Skip,
    /// One task waits until the other has ended; beyond that one, it is left out.
    Queue,
}

/// What somebody schedules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    /// When.
    pub timing: Timing,
    /// What to run.
    pub function: FunctionId,
    /// With which arguments, opaque.
    #[serde(deserialize_with = "payload::deserialize")]
    pub args: Bytes,
    /// With which options.
    pub options: TaskOptions,
    /// Under which rules.
    pub rules: Rules,
    /// What becomes of times that were missed.
    pub catch_up: CatchUp,
    /// What becomes of times at which a task has not ended.
    pub overlap: Overlap,
}

/// A schedule as it stands; the row that is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// This making of it: one that is deleted and made again under its name is another.
    pub id: ScheduleId,
    /// What was asked for.
    pub spec: ScheduleSpec,
    /// The latest nominal time that was dealt with, or when it was made or resumed: what is not later is done with.
    pub last: WallTime,
    /// Whether it fires for nothing until it is resumed.
    pub paused: bool,
    /// Tasks that it submitted.
    pub fired: u64,
    /// Nominal times that were left out because a task had not ended.
    pub skipped: u64,
    /// When it was made, for people.
    pub made_wall: WallTime,
}

impl ScheduleSpec {
    /// Checks form and bounds; patterns and zones are for whoever reads them to check.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.timing {
            Timing::Every { span, .. } if *span < Millis(1_000) => {
                return Err("a schedule fires once a second at most".to_owned());
            }
            Timing::Cron { pattern, zone } if pattern.len() + zone.len() > SCHEDULE_TEXT_BYTES_MAX => {
                return Err(format!("pattern and zone are longer than {SCHEDULE_TEXT_BYTES_MAX} bytes"));
            }
            Timing::Every { .. } | Timing::Cron { .. } => {}
        }
        if self.args.len() > SCHEDULE_ARGS_BYTES_MAX {
            return Err(format!(
                "the arguments of a schedule are longer than {SCHEDULE_ARGS_BYTES_MAX} bytes"
            ));
        }
        if self.catch_up == CatchUp::All(0) {
            return Err("to catch up with none, skip".to_owned());
        }
        if self.rules.after().is_some() {
            return Err("a schedule says itself when its tasks run: leave after out".to_owned());
        }
        if self.rules.run_at().is_some() {
            return Err("a schedule says itself when its tasks run: leave run_at out".to_owned());
        }
        let has_key = self.rules.iter().any(|rule| matches!(rule, Rule::Concurrency { .. }));
        if self.overlap == Overlap::Queue && has_key {
            return Err("overlap 'queue' is a concurrency limit of its own: leave the other out".to_owned());
        }
        self.rules.check_shared()
    }
}

/// Checks a name: 1 to 100 characters without control characters.
///
/// # Errors
/// What is wrong, in words.
pub fn check_schedule_name(name: &str) -> Result<(), String> {
    if (1..=SCHEDULE_NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let shown: String = name.chars().filter(|sign| !sign.is_control()).take(64).collect();
    Err(format!(
        "'{shown}' is no name of a schedule: 1 to {SCHEDULE_NAME_CHARS_MAX} characters without control characters make one"
    ))
}

impl Schedule {
    /// The task of a nominal time: the same one whoever works it out.
    pub fn task(&self, nominal: WallTime) -> TaskId {
        let high = mix(mix(self.id.0) ^ nominal.0);
        let low = mix(high ^ mix(nominal.0) ^ self.id.0);
        let bits = (u128::from(high) << 64) | u128::from(low);
        uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid().into()
    }
}

/// A schedule, and how many of its tasks live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) schedule: Schedule,
    pub(crate) live: u32,
}

/// The schedules of a group.
///
/// Invariants, checked by [`Schedules::check`]:
/// - each is found by its name and by its id;
/// - the live tasks of each are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Schedules {
    kept: BTreeMap<String, Kept>,
    names: BTreeMap<ScheduleId, String>,
    /// Bytes of arguments of all of them.
    bytes: usize,
    /// Those whose rows are not what is here any more.
    changed: BTreeSet<String>,
}

impl Schedules {
    pub(crate) fn restore(&mut self, name: String, schedule: Schedule) {
        self.names.insert(schedule.id, name.clone());
        self.bytes += schedule.spec.args.len();
        self.kept.insert(name, Kept { schedule, live: 0 });
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Bytes of arguments of all schedules but the one of this name.
    pub(crate) fn bytes_beside(&self, name: &str) -> usize {
        self.bytes - self.kept.get(name).map_or(0, |kept| kept.schedule.spec.args.len())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Kept> {
        self.kept.get(name)
    }

    /// Each by name, those after this one.
    pub(crate) fn after(&self, name: Option<&str>) -> impl Iterator<Item = (&str, &Kept)> {
        use core::ops::Bound::{Excluded, Unbounded};
        let first = name.map_or(Unbounded, Excluded);
        self.kept.range::<str, _>((first, Unbounded)).map(|(name, kept)| (name.as_str(), kept))
    }

    /// Makes or replaces one. The count of live tasks stays with the id.
    pub(crate) fn put(&mut self, name: &str, schedule: Schedule) {
        let live = self.kept.get(name).map_or(0, |kept| kept.live);
        self.bytes = self.bytes_beside(name) + schedule.spec.args.len();
        self.names.insert(schedule.id, name.to_owned());
        self.kept.insert(name.to_owned(), Kept { schedule, live });
        self.changed.insert(name.to_owned());
    }

    /// Changes one that there is.
    pub(crate) fn update(&mut self, name: &str, change: impl FnOnce(&mut Schedule)) {
        if let Some(kept) = self.kept.get_mut(name) {
            change(&mut kept.schedule);
            self.changed.insert(name.to_owned());
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.bytes = self.bytes_beside(name);
        if let Some(kept) = self.kept.remove(name) {
            self.names.remove(&kept.schedule.id);
            self.changed.insert(name.to_owned());
        }
    }

    /// A task of a schedule lives from now on, or no more.
    pub(crate) fn count(&mut self, id: ScheduleId, lives: bool) {
        if let Some(kept) = self.names.get(&id).and_then(|name| self.kept.get_mut(name)) {
            if lives { kept.live += 1 } else { kept.live -= 1 }
        }
    }

    /// The schedules that changed since the last call; `None`: deleted.
    pub(crate) fn take_changed(&mut self) -> Vec<(String, Option<Schedule>)> {
        if self.changed.is_empty() {
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|name| {
                let schedule = self.kept.get(&name).map(|kept| kept.schedule.clone());
                (name, schedule)
            })
            .collect()
    }

    /// Compares with the numbers of live tasks by schedule.
    ///
    /// # Errors
    /// The first broken invariant, in words.
    pub(crate) fn check(&self, live: &BTreeMap<ScheduleId, u32>) -> Result<(), String> {
        for (name, kept) in &self.kept {
            if self.names.get(&kept.schedule.id) != Some(name) {
                return Err(format!("schedule '{name}' is not found by its id"));
            }
            if kept.live != live.get(&kept.schedule.id).copied().unwrap_or_default() {
                return Err(format!("schedule '{name}' counts other tasks than live"));
            }
        }
        let bytes: usize = self.kept.values().map(|kept| kept.schedule.spec.args.len()).sum();
        if self.names.len() == self.kept.len() && self.bytes == bytes {
            Ok(())
        } else {
            Err("a schedule is left over".to_owned())
        }
    }
}
