//! The only notions of time in the kernel: milliseconds that arrive with an entry.

use serde::{Deserialize, Serialize};

/// A moment in log time, in milliseconds since the cluster's first entry.
///
/// Log time is the time during which there was a working leader: each leader adds its own monotonic elapsed time
/// to the last applied moment. It never goes back and knows no calendar; it drives delays, backoff and retention.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogTime(pub u64);

impl LogTime {
    /// The moment `span` later; saturates at the end of time.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// The span of `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }
}

/// A moment on the leader's wall clock, in milliseconds since 1970-01-01T00:00Z; for people, for what people date, and
/// for the nominal times of schedules, never for decisions about leases.
///
/// A calendar may be set, forwards and backwards, and leaders' calendars differ. So what is due by it goes by what each
/// entry says, not by the latest that was ever said: a calendar that was wrong for a while is wrong no longer than that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(pub u64);
