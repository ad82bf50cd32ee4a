//! Schedules: the leader watches the clock for them, and proposes what is due.
//!
//! Nothing here is needed for safety: which nominal times were dealt with is in the replicated state, and a firing that is not
//! the next one is refused there. A new leader reads all schedules once, and is told of each that changes.

pub(crate) mod timing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raftwork_kernel::{Command, Event, Fire, Firing, Schedule, WallTime};
use tokio::sync::Notify;
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

/// Which schedules changed since the clock was looked at. `None` while nobody asks: names would only pile up.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    names: Mutex<Option<BTreeSet<String>>>,
    noted: Notify,
}

impl Changed {
    /// Notes what entries changed.
    pub(crate) fn note(&self, events: &[Event]) {
        for event in events {
            if let Event::ScheduleChanged { name } = event
                && let Some(names) = &mut *self.names()
            {
                names.insert(name.clone());
                self.noted.notify_one();
            }
        }
    }

    fn listen(&self) {
        *self.names() = Some(BTreeSet::new());
    }

    fn ignore(&self) {
        *self.names() = None;
    }

    fn take(&self) -> BTreeSet<String> {
        self.names().as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn names(&self) -> MutexGuard<'_, Option<BTreeSet<String>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Whether no schedule will ever be due, as it is.
    fn is_empty(&self) -> bool {
        self.next.is_empty()
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
    pub(crate) changed: Arc<Changed>,
}

impl Scheduler {
    /// Watches the clock whenever this node leads, until it stops. A follower sleeps: an idle cluster costs next to nothing.
    pub(crate) async fn run(self) {
        while self.reign.begun().await {
            self.changed.listen();
            self.watch_clock().await;
            self.changed.ignore();
        }
    }

    /// Until the reign ends.
    async fn watch_clock(&self) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut agenda = self.read_all();
        while self.reign.leads() {
            for name in self.changed.take() {
                agenda.set(&name, self.replica.schedule(&name).map(|(schedule, _)| schedule).as_ref());
            }
            self.fire(&agenda).await;
            if agenda.is_empty() {
                self.sleep().await;
            }
            interval.tick().await;
        }
    }

    /// While there is no schedule, no clock needs to be looked at.
    async fn sleep(&self) {
        tokio::select! {
            biased;
            () = self.reign.ended() => {}
            () = self.changed.noted.notified() => {}
        }
    }

    async fn fire(&self, agenda: &Agenda) {
        let firings = self.firings(agenda, wall_time());
        if firings.is_empty() {
            return;
        }
        let fired = self.proposals.propose(vec![Command::Fire(Fire { firings })]).await;
        if let Err(error) = fired {
            tracing::debug!(%error, "could not fire for schedules; they are looked at again");
        }
    }

    fn read_all(&self) -> Agenda {
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
