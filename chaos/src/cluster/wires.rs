//! What every pair of parties can say to one another: nemeses switch it; proxies obey it, and so do the networks of the
//! parties, if these have some.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::layout::Layout;
use super::network::Networks;

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
    networks: Option<(Mutex<Networks>, Layout)>,
    /// Pieces that met a shut wire.
    pub(crate) held: AtomicU64,
    /// Pieces that were delayed.
    pub(crate) delayed: AtomicU64,
    /// Connections that were cut.
    pub(crate) cut: AtomicU64,
}

/// These pairs, and the same the other way round.
pub(crate) fn both_ways<T: Copy>(pairs: impl IntoIterator<Item = (T, T)>) -> Vec<(T, T)> {
    pairs.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]).collect()
}

impl Wires {
    /// Whole wires between parties on networks of their own, at these places.
    pub(crate) fn over(networks: Networks, layout: Layout) -> Self {
        Self { networks: Some((Mutex::new(networks), layout)), ..Self::default() }
    }

    /// The wire from one party to another, to be followed.
    pub(crate) fn wire(&self, from: Party, to: Party) -> watch::Receiver<Wire> {
        self.with(from, to, watch::Sender::subscribe)
    }

    /// The network of a party's own, if it has one.
    pub(crate) fn network(&self, party: Party) -> Option<PathBuf> {
        self.networks.as_ref().and_then(|(networks, _)| lock(networks).of(party))
    }

    /// Lets nothing pass from the first to the second of each of these pairs; the way back stays as it is.
    ///
    /// # Errors
    /// When a network does not obey.
    pub(crate) fn shut(&self, pairs: &[(Party, Party)]) -> anyhow::Result<()> {
        self.set_shut(pairs, true)
    }

    /// Takes that back.
    ///
    /// # Errors
    /// When a network does not obey.
    pub(crate) fn open(&self, pairs: &[(Party, Party)]) -> anyhow::Result<()> {
        self.set_shut(pairs, false)
    }

    /// Changes what happens in both directions to that which passes.
    pub(crate) fn change_both(&self, one: Party, other: Party, change: impl Fn(&mut Wire)) {
        self.with(one, other, |wire| wire.send_modify(&change));
        self.with(other, one, |wire| wire.send_modify(&change));
    }

    /// Makes every wire whole.
    ///
    /// # Errors
    /// When a network does not obey.
    pub(crate) fn mend(&self) -> anyhow::Result<()> {
        for wire in lock(&self.by_ends).values() {
            wire.send_replace(Wire::default());
        }
        self.lose()
    }

    /// Number of pieces that met a shut wire so far, and of packets that did.
    ///
    /// # Errors
    /// When a network does not say.
    pub(crate) fn held(&self) -> anyhow::Result<u64> {
        let lost = self.networks.as_ref().map_or(Ok(0), |(networks, _)| lock(networks).lost())?;
        Ok(self.held.load(Ordering::Relaxed) + lost)
    }

    fn set_shut(&self, pairs: &[(Party, Party)], shut: bool) -> anyhow::Result<()> {
        for (from, to) in pairs {
            self.with(*from, *to, |wire| wire.send_modify(|wire| wire.shut = shut));
        }
        self.lose()
    }

    /// Makes the networks lose what proxies hold. Whoever tells them looks first what is shut by now; connections do not wait
    /// for that.
    fn lose(&self) -> anyhow::Result<()> {
        let Some((networks, layout)) = &self.networks else { return Ok(()) };
        let mut networks = lock(networks);
        let shut = |(pair, wire): (&_, &watch::Sender<Wire>)| wire.borrow().shut.then_some(*pair);
        let shut: Vec<_> = lock(&self.by_ends).iter().filter_map(shut).collect();
        networks.lose(layout, &shut)
    }

    fn with<T>(&self, from: Party, to: Party, work: impl FnOnce(&watch::Sender<Wire>) -> T) -> T {
        work(lock(&self.by_ends).entry((from, to)).or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_is_shut_in_one_direction_and_mended_with_all_others() {
        let wires = Wires::default();
        let (one, other) = (Party::Node(1), Party::Node(2));
        let (there, back) = (wires.wire(one, other), wires.wire(other, one));
        wires.shut(&[(one, other)]).unwrap();
        assert!(there.borrow().shut && !back.borrow().shut);
        wires.open(&both_ways([(one, other)])).unwrap();
        assert!(!there.borrow().shut);
        wires.shut(&[(one, other)]).unwrap();
        wires.change_both(one, other, |wire| wire.cut_one_in = 3);
        wires.mend().unwrap();
        assert_eq!((*there.borrow(), *back.borrow()), (Wire::default(), Wire::default()));
    }
}
