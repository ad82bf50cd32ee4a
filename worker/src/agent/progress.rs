//! How far tasks say they are, on its way to the leader: the newest word of each, and not too many messages.

use std::collections::BTreeMap;

use raftwork_api::kernel::LeaseRef;
use raftwork_api::stream::FromWorker;
use raftwork_api::tasks::Progress;

use super::Moment;
use crate::times;

/// Bounded by the tasks that run: each has one word.
#[derive(Debug, Default)]
pub(super) struct Progresses {
    newest: BTreeMap<LeaseRef, Word>,
    /// Not before this the next message.
    next: Moment,
}

#[derive(Debug)]
struct Word {
    progress: Progress,
    is_news: bool,
}

impl Progresses {
    pub(super) fn said(&mut self, lease: LeaseRef, progress: Progress) {
        self.newest.insert(lease, Word { progress, is_news: true });
    }

    /// The task is over.
    pub(super) fn forget(&mut self, lease: &LeaseRef) {
        self.newest.remove(lease);
    }

    /// Another leader knows nothing of it.
    pub(super) fn repeat(&mut self) {
        self.newest.values_mut().for_each(|word| word.is_news = true);
    }

    /// When there is something to say, if there is.
    pub(super) fn due(&self) -> Option<Moment> {
        self.newest.values().any(|word| word.is_news).then_some(self.next)
    }

    /// The message with what is new, if it is time for one.
    pub(super) fn tell(&mut self, now: Moment) -> Option<FromWorker> {
        self.due().filter(|due| *due <= now)?;
        self.next = now + times::PROGRESS;
        let news = self.newest.iter_mut().filter_map(|(lease, word)| {
            std::mem::take(&mut word.is_news).then(|| (*lease, word.progress.clone()))
        });
        Some(FromWorker::Progress(news.collect()))
    }
}
