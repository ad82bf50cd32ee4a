//! Limits by key: how many tasks that name a key may be leased at a time, and how many may start within a span.
//!
//! A limit is known as long as something speaks of it: a live task, a setting made by hand, or a start that still counts.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{LIMIT_KEY_CHARS_MAX, LIMIT_SPAN_MAX};
use crate::time::{LogTime, Millis};

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    /// Leases at a time.
    Concurrency,
    /// Grants within a span of log time.
    Rate,
}

impl LimitKind {
    /// The kind in the one word that people, JSON and paths see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Rate => "rate",
        }
    }
}

impl fmt::Display for LimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which limit. The same key may stand for one of each kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LimitName {
    /// What is limited.
    pub kind: LimitKind,
    /// For what: a tenant, an interface, a machine; 1 to 128 characters without control characters.
    pub key: String,
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} limit '{}'", self.kind, self.key)
    }
}

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bound {
    /// Most leases at a time, or most starts within `per`.
    pub max: u32,
    /// For a rate: any span of log time this long has at most `max` starts. Zero for concurrency.
    pub per: Millis,
}

impl LimitName {
    /// Checks the form of the key, and that the bound is one of this kind.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, bound: Option<Bound>) -> Result<(), String> {
        let key = &self.key;
        if !(1..=LIMIT_KEY_CHARS_MAX).contains(&key.chars().count()) || key.chars().any(char::is_control) {
            let shown: String = key.chars().filter(|sign| !sign.is_control()).take(64).collect();
            return Err(format!(
                "'{shown}' is no key of a limit: 1 to {LIMIT_KEY_CHARS_MAX} characters without control characters make one"
            ));
        }
        let Some(bound) = bound else { return Ok(()) };
        match self.kind {
            LimitKind::Concurrency if bound.per != Millis(0) => {
                Err("a concurrency limit counts leases at a time, and has no span".to_owned())
            }
            LimitKind::Rate if bound.per == Millis(0) || bound.per > LIMIT_SPAN_MAX => {
                Err(format!("the span of a rate limit is 1 ms to {} days", LIMIT_SPAN_MAX.0 / 86_400_000))
            }
            LimitKind::Concurrency | LimitKind::Rate => Ok(()),
        }
    }
}

/// Parts into which the span of a rate is cut: a start is counted up to one part too long, never too short.
const STEPS: u64 = 64;

/// Starts that still count, by the part of time in which they were made, oldest first. At most 65 parts, whatever the rate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts(Vec<(u64, u32)>);

impl Starts {
    const fn width(per: Millis) -> u64 {
        let width = per.0.div_ceil(STEPS);
        if width == 0 { 1 } else { width }
    }

    /// When starts of this part count no more: the last of them is a whole span old then.
    const fn expiry(part: u64, per: Millis) -> LogTime {
        let width = Self::width(per);
        LogTime(part.saturating_mul(width).saturating_add(width - 1).saturating_add(per.0))
    }

    /// Whether none counts.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| u64::from(*count)).sum()
    }

    fn forget_old(&mut self, now: LogTime, per: Millis) {
        self.0.retain(|(part, _)| Self::expiry(*part, per) > now);
    }

    /// Adds to the last part or after it: nothing here is later than `at`.
    fn add(&mut self, at: LogTime, count: u32, per: Millis) {
        let part = at.0 / Self::width(per);
        match self.0.last_mut() {
            Some((last, there)) if *last == part => *there = there.saturating_add(count),
            Some(_) | None => self.0.push((part, count)),
        }
    }

    /// The same starts under another span, each as late as it may have been: by the end of its part, and by now.
    fn recut(&mut self, now: LogTime, from: Millis, to: Millis) {
        let width = Self::width(from);
        for (part, count) in std::mem::take(&mut self.0) {
            let latest = part.saturating_mul(width).saturating_add(width - 1);
            self.add(now.min(LogTime(latest)), count, to);
        }
    }
}

/// What is known of one limit, apart from who holds it; the row that is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What the last submit said.
    pub declared: Option<Bound>,
    /// What somebody set, which stands above what submits say.
    pub by_hand: Option<Bound>,
    /// Starts that still count, and some that have not been dropped yet.
    pub starts: Starts,
}

impl Limit {
    /// What holds: `None` limits nothing.
    pub fn bound(&self) -> Option<Bound> {
        self.by_hand.or(self.declared)
    }

    /// How many more tasks may be granted now, when `held` are leased.
    pub(crate) fn room(&self, held: u32) -> u64 {
        self.bound().map_or(u64::MAX, |bound| {
            let used = if bound.per == Millis(0) { u64::from(held) } else { self.starts.count() };
            u64::from(bound.max).saturating_sub(used)
        })
    }

    /// Changes what holds. Earlier starts keep counting, under the new span.
    pub(crate) fn change(&mut self, now: LogTime, change: impl FnOnce(&mut Self)) {
        let before = self.span();
        // What counts no more must not count again because the span grows.
        self.starts.forget_old(now, before);
        change(self);
        let after = self.span();
        if before != after {
            self.starts.recut(now, before, after);
        }
        self.starts.forget_old(now, after);
    }

    /// Counts a start.
    pub(crate) fn start(&mut self, now: LogTime) {
        let per = self.span();
        self.starts.forget_old(now, per);
        self.starts.add(now, 1, per);
    }

    /// Forgets starts that count no more.
    pub(crate) fn relax(&mut self, now: LogTime) {
        self.starts.forget_old(now, self.span());
    }

    /// When time alone changes something: the first start counts no more where that lets another one in, or the last one.
    pub(crate) fn due(&self) -> Option<LogTime> {
        let parts = &self.starts.0;
        let part = if self.room(0) == 0 { parts.first() } else { parts.last() };
        part.map(|(part, _)| Starts::expiry(*part, self.span()))
    }

    /// How many starts count at a moment; `starts` may have some that have not been dropped yet.
    pub fn starts_at(&self, now: LogTime) -> u64 {
        let per = self.span();
        let counting = self.starts.0.iter().filter(|(part, _)| Starts::expiry(*part, per) > now);
        counting.map(|(_, count)| u64::from(*count)).sum()
    }

    fn span(&self) -> Millis {
        self.bound().map_or(Millis(0), |bound| bound.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(max: u32, per: u64) -> Limit {
        Limit { declared: Some(Bound { max, per: Millis(per) }), ..Limit::default() }
    }

    #[test]
    fn no_span_has_more_starts_than_the_bound() {
        for (max, per, step) in [(10, 1_000, 7_u64), (3, 50, 1), (1, 64_000, 999), (5, 1, 1)] {
            let (mut limit, mut starts) = (rate(max, per), Vec::new());
            for now in (0..per * 20).step_by(usize::try_from(step).unwrap()) {
                limit.relax(LogTime(now));
                while limit.room(0) > 0 {
                    limit.start(LogTime(now));
                    starts.push(now);
                }
            }
            for (n, first) in starts.iter().enumerate() {
                let within = starts[n..].iter().take_while(|start| **start < first + per).count();
                assert!(within <= max as usize, "{within} starts within {per} ms of {first}");
            }
            // What is lost to the cutting is a part in 64, and a step of this test for each start.
            let most = 20 * u64::from(max);
            assert!(starts.len() as u64 * (65 + 64 * step / per) >= most * 60, "{} of {most}", starts.len());
        }
    }

    #[test]
    fn a_limit_takes_little_room_whatever_it_allows() {
        let mut limit = rate(u32::MAX, 100_000);
        for now in 0..300_000 {
            limit.start(LogTime(now));
        }
        assert!(limit.starts.0.len() <= 65);
    }

    #[test]
    fn starts_count_on_under_another_span() {
        let mut limit = rate(2, 640);
        limit.start(LogTime(100));
        limit.start(LogTime(200));
        assert_eq!((limit.room(0), limit.due()), (0, Some(LogTime(109 + 640))));
        limit.change(LogTime(300), |limit| limit.by_hand = Some(Bound { max: 3, per: Millis(6_400) }));
        assert_eq!((limit.room(0), limit.due()), (1, Some(LogTime(299 + 6_400))));
    }

    #[test]
    fn starts_stay_in_order_while_the_span_shrinks_and_grows() {
        let (mut limit, mut starts) = (rate(1_000, 6_400), Vec::new());
        let spans = [6_400, 64, 1_000, 1, 999, 128_000];
        for now in 0..6_000_u64 {
            let per = Millis(spans[usize::try_from(now / 50).unwrap() % spans.len()]);
            limit.change(LogTime(now), |limit| limit.by_hand = Some(Bound { max: 1_000, per }));
            if now % 7 < 2 {
                limit.start(LogTime(now));
                starts.push(now);
            }
            let parts = &limit.starts.0;
            assert!(parts.is_sorted_by(|one, next| one.0 < next.0), "at {now}: {parts:?}");
            assert!(parts.len() <= 65, "at {now}: {parts:?}");
            // What counted no more under a shorter span before is forgotten.
            let age = per.0.min(now % 50 + 1);
            let within = starts.iter().filter(|start| now - **start < age).count() as u64;
            assert!(limit.starts_at(LogTime(now)) >= within, "at {now}");
        }
    }

    #[test]
    fn a_shorter_span_lets_the_next_start_when_the_first_counts_no_more() {
        let mut limit = rate(9, 6_400);
        limit.start(LogTime(210));
        // Its part ends at 299, later than now.
        limit.change(LogTime(250), |limit| limit.by_hand = Some(Bound { max: 2, per: Millis(64) }));
        limit.start(LogTime(270));
        assert_eq!((limit.room(0), limit.due()), (0, Some(LogTime(250 + 64))));
        limit.relax(LogTime(250 + 64));
        assert_eq!((limit.room(0), limit.due()), (1, Some(LogTime(270 + 64))));
    }

    #[test]
    fn a_key_has_a_form() {
        let name = |key: &str| LimitName { kind: LimitKind::Concurrency, key: key.to_owned() };
        assert_eq!(name("tenant-7/ü @ x").check(None), Ok(()));
        for key in ["", "a\nb", &*"x".repeat(129)] {
            assert!(name(key).check(None).unwrap_err().contains("is no key of a limit"));
        }
        assert!(name("a").check(Some(Bound { max: 1, per: Millis(1) })).is_err());
        let rate = LimitName { kind: LimitKind::Rate, key: "a".to_owned() };
        assert!(rate.check(Some(Bound { max: 1, per: Millis(0) })).is_err());
        assert_eq!(rate.check(Some(Bound { max: 1, per: Millis(1) })), Ok(()));
    }
}
