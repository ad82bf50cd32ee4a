//! What the leader knows of a lease beside that it is held.

use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    /// When this leader granted it, or first heard of it; `None` after an election, until the worker is heard from.
    pub(super) granted: Option<Instant>,
    pub(super) started: bool,
    /// When its worker last said that it holds it. A lease that its worker keeps silent about has been dropped by it.
    pub(super) named: Instant,
}

impl Held {
    pub(super) fn is_older(&self, now: Instant, age: Duration) -> bool {
        self.granted.is_some_and(|granted| now.saturating_duration_since(granted) > age)
    }
}
