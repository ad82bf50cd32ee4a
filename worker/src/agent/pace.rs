//! How many tasks the worker holds: enough that its slots never wait for the next one, and none that would wait here
//! for long while it might run elsewhere.

use std::time::Duration;

use raftwork_api::kernel::limits::ACQUIRE_MAX;

/// Tasks held beyond the slots keep these busy for this long. A completion brings the next grant after one round of
/// consensus: a few milliseconds, and some tens of them on a cluster under full load.
const HORIZON: Duration = Duration::from_millis(50);

/// A task that waits for a slot for this long was misjudged, and is given back: several horizons, so that a pause of the
/// machine does not count, and less than what people notice.
const PATIENCE: Duration = Duration::from_millis(250);

/// The newest run counts for one in so many in the mean: it follows a change within a few tasks.
const WEIGHT: u32 = 4;

/// The leader is told of a capacity that has changed by this factor; smaller changes make no difference worth a message.
const NEWS_FACTOR: u16 = 2;

/// Decides how much to hold, by the run times that were seen.
#[derive(Debug)]
pub(super) struct Pace {
    slots: u16,
    beyond: Beyond,
    /// What the leader was told last.
    told: u16,
}

#[derive(Debug)]
enum Beyond {
    Fixed(u16),
    /// By the moving mean of run times; nothing is held as long as nothing is known.
    Automatic {
        mean: Option<Duration>,
    },
}

impl Pace {
    /// `prefetch`: tasks held beyond `slots`; `None` leaves it to the run times.
    pub(super) fn new(slots: u16, prefetch: Option<u16>) -> Self {
        let beyond = prefetch.map_or(Beyond::Automatic { mean: None }, Beyond::Fixed);
        Self { slots, beyond, told: slots }
    }

    /// A task has ended after running for so long.
    pub(super) fn ended(&mut self, run: Duration) {
        if let Beyond::Automatic { mean } = &mut self.beyond {
            *mean = Some(mean.map_or(run, |mean| (mean * (WEIGHT - 1) + run) / WEIGHT));
        }
    }

    /// Tasks wait for too long, and none that runs has run for less than `run`.
    pub(super) fn stalled(&mut self, run: Duration) {
        if let Beyond::Automatic { mean } = &mut self.beyond {
            *mean = (*mean).max(Some(run));
        }
    }

    /// How long a task may wait for a slot; `None` leaves it here whatever happens.
    pub(super) const fn patience(&self) -> Option<Duration> {
        match self.beyond {
            Beyond::Fixed(_) => None,
            Beyond::Automatic { .. } => Some(PATIENCE),
        }
    }

    /// Tasks to hold beyond those that run.
    pub(super) fn prefetch(&self) -> u16 {
        let room = ACQUIRE_MAX.saturating_sub(self.slots);
        match self.beyond {
            Beyond::Fixed(number) => number.min(room),
            Beyond::Automatic { mean: None } => 0,
            Beyond::Automatic { mean: Some(mean) } => {
                let number = HORIZON.as_nanos() * u128::from(self.slots) / mean.as_nanos().max(1);
                // Less than one for each slot: such tasks are longer than the horizon.
                let worth = number >= u128::from(self.slots);
                if worth { u16::try_from(number).unwrap_or(u16::MAX).min(room) } else { 0 }
            }
        }
    }

    /// Tasks to hold at once.
    pub(super) fn capacity(&self) -> u16 {
        self.slots.saturating_add(self.prefetch())
    }

    /// The capacity, for a leader that is told it now.
    pub(super) fn tell(&mut self) -> u16 {
        self.told = self.capacity();
        self.told
    }

    /// The capacity if it differs enough from what the leader was told; it counts as told.
    pub(super) fn news(&mut self) -> Option<u16> {
        let (capacity, told) = (self.capacity(), self.told);
        let beyond = |held: u16| held.saturating_sub(self.slots);
        let differs = |more: u16, less: u16| beyond(more) >= beyond(less).saturating_mul(NEWS_FACTOR).max(1);
        let news =
            (capacity > told && differs(capacity, told)) || (capacity < told && differs(told, capacity));
        news.then(|| self.tell())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn after(runs: &[Duration]) -> u16 {
        let mut pace = Pace::new(2, None);
        for run in runs {
            pace.ended(*run);
        }
        pace.prefetch()
    }

    #[test]
    fn what_is_held_keeps_the_slots_busy_for_the_horizon() {
        assert_eq!(after(&[]), 0, "nothing is known");
        assert_eq!(after(&[MILLI]), 100);
        assert_eq!(after(&[25 * MILLI]), 4);
        assert_eq!(after(&[50 * MILLI]), 2);
        assert_eq!(after(&[51 * MILLI]), 0, "longer than the horizon");
        assert_eq!(after(&[Duration::ZERO]), ACQUIRE_MAX - 2, "bounded by what one acquire brings");
    }

    #[test]
    fn it_follows_a_change_within_a_few_tasks() {
        assert_eq!(after(&[MILLI, 1_000 * MILLI]), 0, "one long task is enough");
        let faster: Vec<u16> =
            (1..=10).map(|count| after(&[&[200 * MILLI], &vec![MILLI; count][..]].concat())).collect();
        assert_eq!(faster, [0, 0, 0, 0, 2, 2, 3, 4, 6, 8]);
    }

    #[test]
    fn a_number_that_was_asked_for_stays() {
        let mut pace = Pace::new(2, Some(7));
        pace.ended(1_000 * MILLI);
        assert_eq!((pace.capacity(), pace.tell(), pace.news(), pace.patience()), (9, 9, None, None));
    }

    #[test]
    fn only_what_makes_a_difference_is_news() {
        let mut pace = Pace::new(2, None);
        assert_eq!(pace.news(), None);
        let mut told = |run: Duration| {
            pace.ended(run);
            pace.news()
        };
        assert_eq!(told(MILLI), Some(102));
        assert_eq!(told(2 * MILLI), None, "a mean of 1.25 ms is near enough");
        assert_eq!(told(100 * MILLI), Some(5));
        assert_eq!(told(1_000 * MILLI), Some(2), "nothing beyond the slots is always news");
    }
}
