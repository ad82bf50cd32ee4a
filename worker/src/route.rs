//! Where to look for the leader next, and how long to pause before. Pure: the draw for the jitter is an argument.

use std::time::Duration;

use raftwork_api::stream::whom_to_try;

use crate::times;

/// Hints followed without a pause. Nodes that point at each other in a circle disagree about an election, and need time.
const HINTS_MAX: u32 = 3;

#[derive(Debug)]
pub(crate) struct Route {
    /// What the worker was started with.
    seeds: Vec<String>,
    /// Whom to try: never empty.
    urls: Vec<String>,
    next: usize,
    hint: Option<String>,
    /// Hints followed since the last welcome or pause.
    hints: u32,
    /// Attempts since the last welcome that led nowhere.
    failures: u32,
}

/// An attempt to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) url: String,
    pub(crate) pause: Duration,
}

impl Route {
    /// Looks at `urls`, of which there is at least one, from the first on.
    pub(crate) fn new(urls: Vec<String>) -> Self {
        Self { seeds: urls.clone(), urls, next: 0, hint: None, hints: 0, failures: 0 }
    }

    /// The leader has said where the nodes are.
    pub(crate) fn learn(&mut self, members: Vec<String>) {
        if !members.is_empty() {
            self.urls = whom_to_try(members, &self.seeds);
            self.next = 0;
        }
    }

    /// Whom to try: never empty.
    pub(crate) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// A node has taken the worker in.
    pub(crate) fn arrived(&mut self) {
        (self.hints, self.failures) = (0, 0);
    }

    /// An attempt led nowhere, or a connection was lost; a node may have said where the leader is.
    pub(crate) fn failed(&mut self, hint: Option<&str>) {
        self.hint = hint.map(|url| url.trim_end_matches('/').to_owned());
        self.failures += 1;
    }

    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// The next attempt; `draw` is any number.
    pub(crate) fn next(&mut self, draw: u32) -> Leg {
        match self.hint.take() {
            Some(url) if self.hints < HINTS_MAX => {
                self.hints += 1;
                Leg { url, pause: Duration::ZERO }
            }
            hint => {
                self.hints = 0;
                let url = hint.unwrap_or_else(|| self.take_turn());
                Leg { url, pause: self.pause(draw) }
            }
        }
    }

    fn take_turn(&mut self) -> String {
        let url = self.urls[self.next % self.urls.len()].clone();
        self.next += 1;
        url
    }

    /// Between half of the bound and all of it, so that the workers of a lost leader do not come back in step.
    fn pause(&self, draw: u32) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else { return Duration::ZERO };
        let bound = times::BACKOFF_MIN.saturating_mul(1 << doublings.min(16)).min(times::BACKOFF_MAX);
        bound / 2 + (bound / 2).mul_f64(f64::from(draw) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: u32 = u32::MAX;

    fn route() -> Route {
        Route::new(vec!["a".to_owned(), "b".to_owned()])
    }

    fn leg(url: &str, ms: u64) -> Leg {
        Leg { url: url.to_owned(), pause: Duration::from_millis(ms) }
    }

    #[test]
    fn the_nodes_take_turns_with_growing_pauses() {
        let mut route = route();
        assert_eq!(route.next(LONGEST), leg("a", 0));
        let expected = [("b", 50), ("a", 100), ("b", 200), ("a", 400), ("b", 800), ("a", 1000), ("b", 1000)];
        for (url, ms) in expected {
            route.failed(None);
            assert_eq!(route.next(LONGEST), leg(url, ms));
        }
        route.arrived();
        route.failed(None);
        assert_eq!(route.next(0), leg("a", 25));
    }

    #[test]
    fn members_that_the_leader_names_are_tried_first_and_the_first_urls_last() {
        let mut route = route();
        route.learn(vec!["x".to_owned(), "b".to_owned()]);
        let tried: Vec<String> = (0..4).map(|_| route.next(0).url).collect();
        assert_eq!(tried, ["x", "b", "a", "x"]);
        route.learn(Vec::new());
        assert_eq!(route.next(0).url, "b");
    }

    #[test]
    fn a_hint_is_followed_at_once_but_a_circle_of_hints_is_not() {
        let mut route = route();
        route.next(0);
        for url in ["x", "y", "x"] {
            route.failed(Some(&format!("{url}/")));
            assert_eq!(route.next(LONGEST), leg(url, 0));
        }
        route.failed(Some("y"));
        assert_eq!(route.next(LONGEST), leg("y", 400));
        route.failed(Some("z"));
        assert_eq!(route.next(LONGEST), leg("z", 0));
    }
}
