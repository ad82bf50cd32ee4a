//! Where the conversation with the leader stands.

use std::collections::VecDeque;
use std::time::Duration;

use raftwork_api::kernel::LeaseRef;

use super::Moment;

/// Heartbeats whose send time is remembered. More are only unanswered when the connection is as good as dead.
const UNANSWERED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) enum Link {
    #[default]
    Down,
    /// `Hello` was sent, then.
    Greeting(Moment),
    /// The leader has taken the worker in.
    Up(Beats),
}

impl Link {
    pub(super) const fn is_up(&self) -> bool {
        matches!(self, Self::Up(_))
    }

    pub(super) const fn beats(&mut self) -> Option<&mut Beats> {
        match self {
            Self::Up(beats) => Some(beats),
            Self::Down | Self::Greeting(_) => None,
        }
    }
}

/// The heartbeats of one connection.
#[derive(Debug)]
pub(super) struct Beats {
    interval: Duration,
    next: Moment,
    number: u64,
    /// Number and send time, oldest first.
    unanswered: VecDeque<(u64, Moment)>,
    /// The node has answered a heartbeat, so it does lead.
    confirmed: bool,
    /// Revocations that came before.
    early: Vec<LeaseRef>,
}

impl Beats {
    /// The first is due at once.
    pub(super) const fn new(now: Moment, interval: Duration) -> Self {
        Self {
            interval,
            next: now,
            number: 0,
            unanswered: VecDeque::new(),
            confirmed: false,
            early: Vec::new(),
        }
    }

    pub(super) const fn next(&self) -> Moment {
        self.next
    }

    /// The number of the heartbeat that is sent now.
    pub(super) fn send(&mut self, now: Moment) -> u64 {
        self.number += 1;
        self.next = now + self.interval;
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((self.number, now));
        self.number
    }

    /// When the heartbeat was sent that is answered now; `None` if it was answered before.
    pub(super) fn answered(&mut self, number: u64) -> Option<Moment> {
        let (_, sent) = *self.unanswered.iter().find(|(unanswered, _)| *unanswered == number)?;
        self.unanswered.retain(|(unanswered, _)| *unanswered > number);
        self.confirmed = true;
        Some(sent)
    }

    /// Takes revocations in and returns those to act on now. A deposed leader does not know the newest grants and takes
    /// them for lost, so its word only counts once it has answered a heartbeat, which it cannot.
    pub(super) fn believe(&mut self, revoked: impl IntoIterator<Item = LeaseRef>) -> Vec<LeaseRef> {
        self.early.extend(revoked);
        if self.confirmed { std::mem::take(&mut self.early) } else { Vec::new() }
    }
}
