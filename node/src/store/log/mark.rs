//! Up to where the log is durable, for those who must not run ahead of it.

use std::sync::Arc;

use tokio::sync::watch;

use super::flush::Done;
use super::record::Position;

/// The mark; a clone is another handle on it.
#[derive(Clone)]
pub(super) struct Mark(Arc<watch::Sender<Durable>>);

#[derive(Debug, Clone, Copy)]
struct Durable {
    /// Index of the last durable record.
    last: Option<u64>,
    /// How often the log was truncated. What was on its way before that says nothing about the records after it.
    cuts: u64,
}

impl Mark {
    /// A log that was just opened holds nothing but what is durable.
    pub(super) fn at(last: Option<u64>) -> Self {
        Self(Arc::new(watch::Sender::new(Durable { last, cuts: 0 })))
    }

    /// A callback for the flush that covers `last`: moves the mark there, then tells `done`.
    pub(super) fn reached_with(&self, last: Option<Position>, done: Done) -> Done {
        let (mark, cuts) = (Arc::clone(&self.0), self.0.borrow().cuts);
        let last = last.map(|last| last.index);
        Box::new(move |result| {
            if result.is_ok() {
                mark.send_if_modified(|durable| durable.rise(last, cuts));
            }
            done(result);
        })
    }

    /// The log was truncated after `last`.
    pub(super) fn fall(&self, last: Option<Position>) {
        self.0.send_modify(|durable| {
            durable.cuts += 1;
            durable.last = durable.last.min(last.map(|last| last.index));
        });
    }

    pub(super) async fn reaches(&self, index: u64) {
        let mut durable = self.0.subscribe();
        durable.wait_for(|durable| durable.last >= Some(index)).await.expect("this mark holds the sender");
    }
}

impl Durable {
    fn rise(&mut self, last: Option<u64>, cuts: u64) -> bool {
        let rises = self.cuts == cuts && self.last < last;
        if rises {
            self.last = last;
        }
        rises
    }
}
