//! The nodes of the cluster, as far as they are known: the URLs that a client was given, and the members it was told of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raftwork_api::stream::whom_to_try;

/// Age of what is known of the members after which plain requests ask again.
const STALE: Duration = Duration::from_secs(30);

/// What all handles of a client share.
#[derive(Debug)]
pub(crate) struct Nodes {
    seeds: Vec<String>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    urls: Arc<[String]>,
    /// When somebody last told, or was last asked.
    told: Option<Instant>,
}

impl Nodes {
    /// The nodes at `seeds`, which must not be empty.
    pub(crate) fn new(seeds: Vec<String>) -> Self {
        assert!(!seeds.is_empty(), "a search needs somewhere to begin");
        let known = Known { urls: seeds.clone().into(), told: None };
        Self { seeds, known: Mutex::new(known) }
    }

    /// Whom to try: the members first.
    pub(crate) fn urls(&self) -> Arc<[String]> {
        Arc::clone(&self.lock().urls)
    }

    /// A node has said where the members are.
    pub(crate) fn learn(&self, members: Vec<String>) {
        if members.is_empty() {
            return;
        }
        let mut known = self.lock();
        known.urls = whom_to_try(members, &self.seeds).into();
        known.told = Some(Instant::now());
    }

    /// Whether it is time to ask for the members, which whoever is told so does.
    pub(crate) fn should_ask(&self) -> bool {
        let mut known = self.lock();
        let is_stale = known.told.is_none_or(|told| told.elapsed() > STALE);
        if is_stale {
            known.told = Some(Instant::now());
        }
        is_stale
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_first_and_the_given_urls_stay() {
        let nodes = Nodes::new(vec!["a".into(), "b".into()]);
        nodes.learn(vec!["c".into(), "b".into()]);
        assert_eq!(*nodes.urls(), ["c", "b", "a"]);
        nodes.learn(Vec::new());
        assert_eq!(*nodes.urls(), ["c", "b", "a"]);
    }

    #[test]
    fn members_are_asked_for_by_one_request_at_a_time() {
        let nodes = Nodes::new(vec!["a".into()]);
        assert_eq!([nodes.should_ask(), nodes.should_ask()], [true, false]);
    }
}
