//! How fast answers came, second by second: what the report draws.

use crate::history::Outcome;

/// Latency classes: each a quarter more than the one before, from 100 microseconds to more than a minute.
const CLASSES: usize = 64;

/// What happened in each second of a run.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) seconds: Vec<Second>,
}

/// What returned within one second.
#[derive(Debug, Clone)]
pub(crate) struct Second {
    /// Carried out or refused by the state machine.
    pub(crate) answered: u32,
    /// Surely not carried out, or nobody can tell.
    pub(crate) unanswered: u32,
    latencies: [u32; CLASSES],
}

impl Default for Second {
    fn default() -> Self {
        Self { answered: 0, unanswered: 0, latencies: [0; CLASSES] }
    }
}

impl Rates {
    pub(crate) fn note(&mut self, from: u64, to: u64, outcome: &Outcome) {
        let second = usize::try_from(to / 1_000_000).unwrap_or(usize::MAX);
        // A clock that jumped by a year must not cost a gigabyte.
        if second > 1_000_000 {
            return;
        }
        if self.seconds.len() <= second {
            self.seconds.resize_with(second + 1, Second::default);
        }
        let second = &mut self.seconds[second];
        match outcome {
            Outcome::Ok(_) | Outcome::Refused { .. } => {
                second.answered += 1;
                second.latencies[class_of(to - from)] += 1;
            }
            Outcome::Fail { .. } | Outcome::Info { .. } => second.unanswered += 1,
        }
    }
}

impl Second {
    /// Upper bound of the latency class in which the given share (per mille) of the answers lies, in microseconds.
    pub(crate) fn latency(&self, per_mille: u64) -> Option<u64> {
        let total: u64 = self.latencies.iter().copied().map(u64::from).sum();
        let rank = (total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let class = self.latencies.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        class.map(bound_of)
    }
}

fn bound_of(class: usize) -> u64 {
    (0..class).fold(100, |bound, _| bound + bound / 4)
}

fn class_of(latency: u64) -> usize {
    (0..CLASSES - 1).find(|class| latency <= bound_of(*class)).unwrap_or(CLASSES - 1)
}
