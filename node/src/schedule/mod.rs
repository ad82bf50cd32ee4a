//! Schedules: the leader watches the clock for them, and proposes what is due.
//!
//! Nothing here is needed for safety: which nominal times were dealt with is in the replicated state, and a firing that is not
//! the next one is refused there. A new leader reads all schedules once, and is told of each that changes.

pub(crate) mod timing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use raftwork_kernel::{Command, Event, Fire, Firing, Schedule, WallTime};
use tokio::time::MissedTickBehavior;

use self::timing::Calendar;
use crate::group::clock::wall_time;
use crate::group::{Proposals, Reign};
use crate::replica::Replica;

/// How often the clock is looked at: how late a schedule may fire.
const TICK: Duration = Duration::from_millis(100);
/// Most schedules in one proposal.
const FIRINGS_MAX: usize = 500;
/// Most tasks in one proposal: catching up must not make an entry that holds up everything.
const NOMINALS_MAX: usize = 5_000;

/// Which schedules changed since the clock was looked at.
#[derive(Debug, Default)]
pub(crate) struct Changed(Mutex<BTreeSet<String>>);

impl Changed {
    /// Notes what entries changed.
    pub(crate) fn note(&self, events: &[Event]) {
        for event in events {
            if let Event::ScheduleChanged { name } = event {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
            }
        }
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The next nominal time of every schedule that is not paused. Pure: what to look at is handed in.
#[derive(Debug, Default)]
struct Agenda {
    next: BTreeSet<(WallTime, String)>,
    calendars: BTreeMap<String, (Calendar, WallTime)>,
}

impl Agenda {
    /// A schedule is as given from now on; `None`: there is none of this name.
    fn set(&mut self, name: &str, schedule: Option<&Schedule>) {
        if let Some((_, next)) = self.calendars.remove(name) {
            self.next.remove(&(next, name.to_owned()));
        }
        let Some(schedule) = schedule.filter(|schedule| !schedule.paused) else { return };
        let calendar = match Calendar::read(&schedule.spec.timing, schedule.made_wall) {
            Ok(calendar) => calendar,
            Err(error) => {
                tracing::error!(name, %error, "a schedule cannot be read by this build, and does not fire");
                return;
            }
        };
        if let Some(next) = calendar.after(schedule.last) {
            self.next.insert((next, name.to_owned()));
            self.calendars.insert(name.to_owned(), (calendar, next));
        }
    }

    /// The schedules whose next time has come, longest ago first.
    fn due(&self, now: WallTime) -> impl Iterator<Item = (&str, &Calendar)> {
        let due = self.next.iter().take_while(move |(next, _)| *next <= now);
        due.map(|(_, name)| (name.as_str(), &self.calendars[name].0))
    }
}

/// Fires for schedules while this node leads.
pub(crate) struct Scheduler {
    pub(crate) replica: Replica,
    pub(crate) proposals: Proposals,
    pub(crate) reign: Reign,
    pub(crate) changed: std::sync::Arc<Changed>,
}

impl Scheduler {
    /// Watches the clock until the node stops.
    pub(crate) async fn run(self) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut agenda: Option<Agenda> = None;
        loop {
            interval.tick().await;
            if !self.reign.leads() {
                agenda = None;
                // A follower is told, too: it forgets, lest names pile up.
                self.changed.take();
                continue;
            }
            let known = agenda.get_or_insert_with(|| self.read_all());
            for name in self.changed.take() {
                known.set(&name, self.replica.schedule(&name).map(|(schedule, _)| schedule).as_ref());
            }
            let firings = self.firings(known, wall_time());
            if firings.is_empty() {
                continue;
            }
            let fired = self.proposals.propose(vec![Command::Fire(Fire { firings })]).await;
            if let Err(error) = fired {
                tracing::debug!(%error, "could not fire for schedules; they are looked at again");
            }
        }
    }

    fn read_all(&self) -> Agenda {
        self.changed.take();
        let mut agenda = Agenda::default();
        for (name, schedule, _) in self.replica.schedules_after(None, usize::MAX) {
            agenda.set(&name, Some(&schedule));
        }
        agenda
    }

    /// What is due now, up to the bounds of one proposal.
    fn firings(&self, agenda: &Agenda, now: WallTime) -> Vec<Firing> {
        let mut firings = Vec::new();
        let mut nominals = 0;
        for (name, calendar) in agenda.due(now).take(FIRINGS_MAX) {
            let Some((schedule, _)) = self.replica.schedule(name) else { continue };
            let Some((until, nominal)) = calendar.due(&schedule, now) else { continue };
            nominals += nominal.len();
            firings.push(Firing {
                name: name.to_owned(),
                schedule: schedule.id,
                after: schedule.last,
                until,
                nominal,
            });
            if nominals >= NOMINALS_MAX {
                break;
            }
        }
        firings
    }
}
