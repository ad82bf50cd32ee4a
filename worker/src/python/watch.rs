//! When a running task is interrupted and when it is killed. Pure: time and facts come in, acts go out.

use std::time::{Duration, Instant};

use super::job::JobErrorKind;

/// What to do to the child now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Signal that raises `TaskTimeout` in the child's main thread.
    Interrupt,
    /// `SIGTERM` to the process group; raises `TaskCancelled` in the child's main thread.
    Terminate,
    /// `SIGKILL` to the process group.
    Kill,
}

/// The watch over one run.
#[derive(Debug)]
pub(super) struct Watch {
    phase: Phase,
    timeout_at: Option<Instant>,
    grace: Duration,
    memory_limit: Option<u64>,
    /// Highest resident size that was sampled, in bytes.
    peak_rss: u64,
}

#[derive(Debug)]
enum Phase {
    Running,
    /// Asked to stop, and killed at `kill_at` if it has not.
    Asked {
        cause: JobErrorKind,
        kill_at: Instant,
    },
    Killed {
        cause: JobErrorKind,
    },
}

impl Watch {
    /// Starts watching at `now`.
    pub(super) fn new(
        now: Instant,
        timeout: Option<Duration>,
        grace: Duration,
        memory_limit: Option<u64>,
    ) -> Self {
        // A timeout beyond what the clock can express is no timeout.
        let timeout_at = timeout.and_then(|timeout| now.checked_add(timeout));
        Self { phase: Phase::Running, timeout_at, grace, memory_limit, peak_rss: 0 }
    }

    /// When [`Watch::on_time`] must be called next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Running => self.timeout_at,
            Phase::Asked { kill_at, .. } => Some(*kill_at),
            Phase::Killed { .. } => None,
        }
    }

    /// Time has passed.
    pub(super) fn on_time(&mut self, now: Instant) -> Option<Act> {
        match &self.phase {
            Phase::Running if self.timeout_at.is_some_and(|at| at <= now) => {
                self.phase = Phase::Asked { cause: JobErrorKind::Timeout, kill_at: now + self.grace };
                Some(Act::Interrupt)
            }
            Phase::Asked { cause, kill_at } if *kill_at <= now => {
                self.phase = Phase::Killed { cause: cause.clone() };
                Some(Act::Kill)
            }
            Phase::Running | Phase::Asked { .. } | Phase::Killed { .. } => None,
        }
    }

    /// The job's cancel token fired.
    pub(super) fn on_cancel(&mut self, now: Instant) -> Option<Act> {
        match &self.phase {
            Phase::Running => {
                self.phase = Phase::Asked { cause: JobErrorKind::Cancelled, kill_at: now + self.grace };
                Some(Act::Terminate)
            }
            // Already on its way out; the first cause is the one that is reported.
            Phase::Asked { .. } | Phase::Killed { .. } => None,
        }
    }

    /// The resident size of the task's processes was sampled.
    pub(super) fn on_memory(&mut self, rss: u64) -> Option<Act> {
        self.peak_rss = self.peak_rss.max(rss);
        let limit = self.memory_limit.filter(|limit| rss > *limit)?;
        if matches!(self.phase, Phase::Killed { .. }) {
            return None;
        }
        self.phase = Phase::Killed { cause: JobErrorKind::OutOfMemory { limit, peak: rss } };
        Some(Act::Kill)
    }

    /// Why the task was asked to stop or killed, if it was.
    pub(super) fn cause(&self) -> Option<JobErrorKind> {
        match &self.phase {
            Phase::Running => None,
            Phase::Asked { cause, .. } | Phase::Killed { cause } => Some(cause.clone()),
        }
    }

    /// Highest resident size that was sampled, in bytes.
    pub(super) fn peak_rss(&self) -> u64 {
        self.peak_rss
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timeout_interrupts_then_kills() {
        let start = Instant::now();
        let mut watch = Watch::new(start, Some(SECOND), 5 * SECOND, None);
        assert_eq!(watch.on_time(start), None);
        assert_eq!(watch.deadline(), Some(start + SECOND));
        assert_eq!(watch.on_time(start + SECOND), Some(Act::Interrupt));
        assert_eq!(watch.deadline(), Some(start + 6 * SECOND));
        assert_eq!(watch.on_time(start + 2 * SECOND), None);
        assert_eq!(watch.on_time(start + 6 * SECOND), Some(Act::Kill));
        assert_eq!(watch.on_time(start + 7 * SECOND), None);
        assert_eq!((watch.cause(), watch.deadline()), (Some(JobErrorKind::Timeout), None));
    }

    #[test]
    fn a_cancel_terminates_once_and_the_first_cause_stays() {
        let start = Instant::now();
        let mut watch = Watch::new(start, Some(SECOND), SECOND, None);
        assert_eq!(watch.on_cancel(start), Some(Act::Terminate));
        assert_eq!(watch.on_cancel(start), None);
        assert_eq!(watch.on_time(start + SECOND), Some(Act::Kill));
        assert_eq!(watch.cause(), Some(JobErrorKind::Cancelled));
    }

    #[test]
    fn too_much_memory_kills_at_once() {
        let mut watch = Watch::new(Instant::now(), None, SECOND, Some(100));
        assert_eq!(watch.on_memory(100), None);
        assert_eq!(watch.on_memory(101), Some(Act::Kill));
        assert_eq!(watch.on_memory(150), None);
        assert_eq!(watch.cause(), Some(JobErrorKind::OutOfMemory { limit: 100, peak: 101 }));
        assert_eq!(watch.peak_rss(), 150);
    }
}
