//! Which node to try next, and after which pause. Pure: no clock, no sockets; the caller brings randomness.

use std::sync::Arc;
use std::time::Duration;

/// First pause once every node was tried in vain; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause. An election takes about a second, so a longer one would only add to the outage.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The search for the leader.
#[derive(Debug)]
pub(crate) struct Discovery {
    urls: Arc<[String]>,
    /// Index of the next URL to try.
    next: usize,
    /// Where a node said that the leader is; tried once, before the list.
    hint: Option<String>,
    /// Attempts in a row that did not end at a leader.
    vain: u32,
}

/// One step of the search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Whom to try.
    pub(crate) url: String,
    /// What to wait for before it.
    pub(crate) pause: Duration,
}

impl Discovery {
    /// A search over `urls`, which must not be empty.
    pub(crate) fn new(urls: Arc<[String]>) -> Self {
        assert!(!urls.is_empty(), "a search needs somewhere to begin");
        Self { urls, next: 0, hint: None, vain: 0 }
    }

    /// The next attempt; `random` is any number, and makes many clients spread out.
    pub(crate) fn attempt(&mut self, random: u64) -> Attempt {
        let url = self.hint.take().unwrap_or_else(|| {
            let url = self.urls[self.next].clone();
            self.next = (self.next + 1) % self.urls.len();
            url
        });
        Attempt { url, pause: self.pause(random) }
    }

    /// From now on the nodes are these, of which there is at least one.
    pub(crate) fn learn(&mut self, urls: Arc<[String]>) {
        if self.urls != urls {
            (self.urls, self.next) = (urls, 0);
        }
    }

    /// The node that was tried leads.
    pub(crate) fn settled(&mut self, url: &str) {
        self.vain = 0;
        // The next search begins where this one ended: a cut connection is more often a blip than a new leader.
        if let Some(index) = self.urls.iter().position(|known| known == url) {
            self.next = index;
        }
    }

    /// The node that was tried does not lead.
    pub(crate) fn redirected(&mut self, leader: Option<String>) {
        self.vain = self.vain.saturating_add(1);
        self.hint = leader.map(|url| url.trim_end_matches('/').to_owned());
    }

    /// The node that was tried could not be reached, or was lost.
    pub(crate) fn failed(&mut self) {
        self.vain = self.vain.saturating_add(1);
    }

    /// Nothing for a whole round (each node, and one hint); then half of the bound is certain and half is drawn.
    fn pause(&self, random: u64) -> Duration {
        let round = u32::try_from(self.urls.len()).unwrap_or(u32::MAX).saturating_add(1);
        let Some(repeats) = self.vain.checked_sub(round) else {
            return Duration::ZERO;
        };
        let bound = PAUSE_MIN.saturating_mul(1 << repeats.min(10)).min(PAUSE_MAX);
        let half = bound / 2;
        half + half.mul_f64(f64::from(u16::try_from(random & 0xffff).unwrap_or(u16::MAX)) / 65535.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery() -> Discovery {
        Discovery::new(["a".into(), "b".into(), "c".into()].into())
    }

    fn at_once(url: &str) -> Attempt {
        Attempt { url: url.into(), pause: Duration::ZERO }
    }

    #[test]
    fn a_hint_is_followed_at_once_and_only_once() {
        let mut search = discovery();
        assert_eq!(search.attempt(0), at_once("a"));
        search.redirected(Some("c/".into()));
        assert_eq!(search.attempt(0), at_once("c"));
        search.failed();
        assert_eq!(search.attempt(0), at_once("b"));
    }

    #[test]
    fn nodes_that_point_at_each_other_are_asked_ever_more_slowly() {
        let mut search = discovery();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let attempt = search.attempt(u64::MAX);
            pauses.push(u64::try_from(attempt.pause.as_millis()).unwrap());
            search.redirected(Some(if attempt.url == "b" { "c".into() } else { "b".into() }));
        }
        assert_eq!(pauses, [0, 0, 0, 0, 50, 100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn nodes_that_are_learnt_take_the_place_of_those_before() {
        let mut search = discovery();
        search.settled("b");
        search.learn(["x".into(), "b".into()].into());
        assert_eq!(search.attempt(0), at_once("x"));
        search.learn(["x".into(), "b".into()].into());
        assert_eq!(search.attempt(0), at_once("b"));
    }

    #[test]
    fn jitter_keeps_half_of_the_pause() {
        let mut search = discovery();
        (0..40).for_each(|_| search.failed());
        assert_eq!(search.attempt(0).pause, Duration::from_millis(500));
        assert_eq!(search.attempt(0xffff).pause, Duration::from_secs(1));
    }

    #[test]
    fn a_leader_that_was_lost_is_tried_first_and_without_pause() {
        let mut search = discovery();
        (0..9).for_each(|_| search.failed());
        search.settled("c");
        search.failed();
        assert_eq!(search.attempt(0), at_once("c"));
        assert_eq!(search.attempt(0), at_once("a"));
    }
}
