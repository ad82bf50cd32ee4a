//! What every pair of parties can say to one another: nemeses switch it, proxies obey it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// One end of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Party {
    /// A node, by its id.
    Node(u64),
    /// Every Python worker.
    Workers,
    /// Everybody else who asks.
    Clients,
}

/// What happens to bytes on their way from one party to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wire {
    /// They are held until the wire opens, as a network holds what TCP sends again and again.
    pub(crate) shut: bool,
    /// They arrive this much later.
    pub(crate) delay: Duration,
    /// One in so many pieces arrives in half, and then the connection is reset; 0 for none.
    pub(crate) cut_one_in: u32,
}

/// All wires, and what happened on them.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    by_ends: Mutex<BTreeMap<(Party, Party), watch::Sender<Wire>>>,
    /// Pieces that met a shut wire.
    pub(crate) held: AtomicU64,
    /// Pieces that were delayed.
    pub(crate) delayed: AtomicU64,
    /// Connections that were cut.
    pub(crate) cut: AtomicU64,
}

impl Wires {
    /// The wire from one party to another, to be followed.
    pub(crate) fn wire(&self, from: Party, to: Party) -> watch::Receiver<Wire> {
        self.with(from, to, watch::Sender::subscribe)
    }

    /// Changes the wire from one party to another; the way back stays as it is.
    pub(crate) fn change(&self, from: Party, to: Party, change: impl FnOnce(&mut Wire)) {
        self.with(from, to, |wire| wire.send_modify(change));
    }

    /// Changes both directions.
    pub(crate) fn change_both(&self, one: Party, other: Party, change: impl Fn(&mut Wire)) {
        self.change(one, other, &change);
        self.change(other, one, &change);
    }

    /// Makes every wire whole.
    pub(crate) fn mend(&self) {
        let wires = self.by_ends.lock().unwrap_or_else(PoisonError::into_inner);
        for wire in wires.values() {
            wire.send_replace(Wire::default());
        }
    }

    /// Number of pieces that met a shut wire so far.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn with<T>(&self, from: Party, to: Party, work: impl FnOnce(&watch::Sender<Wire>) -> T) -> T {
        let mut wires = self.by_ends.lock().unwrap_or_else(PoisonError::into_inner);
        work(wires.entry((from, to)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_is_shut_in_one_direction_and_mended_with_all_others() {
        let wires = Wires::default();
        let (one, other) = (Party::Node(1), Party::Node(2));
        let (there, back) = (wires.wire(one, other), wires.wire(other, one));
        wires.change(one, other, |wire| wire.shut = true);
        assert!(there.borrow().shut && !back.borrow().shut);
        wires.change_both(one, other, |wire| wire.cut_one_in = 3);
        wires.mend();
        assert_eq!((*there.borrow(), *back.borrow()), (Wire::default(), Wire::default()));
    }
}
