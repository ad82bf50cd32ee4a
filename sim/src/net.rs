//! The network: byte streams between nodes and calls from outside, over directed links that can be slow, cut or one-way.
//!
//! A stream behaves as TCP does: bytes arrive in order or not at all; what is on its way when a link is cut waits for the
//! link, unless the connection is reset. Calls are single messages, which may be lost, late or doubled.

mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures::future::BoxFuture;
use raftwork_node::raft::dial::{Dial, DialError, PeerStream};
use tokio::sync::mpsc;

pub(crate) use self::stream::SimStream;
use self::stream::connect;
use crate::chance::Chance;
use crate::clock;
use crate::trace::Trace;

/// One in the network: nodes from 1, clients and workers from [`OUTSIDE`].
pub(crate) type Place = u64;
/// The first place that is no node.
pub(crate) const OUTSIDE: Place = 100;

pub(crate) const MILLISECOND: u64 = 1_000_000;
/// The longest delay of a link that is not slow is so many times the shortest.
const DELAY_SPREAD: u64 = 3;

/// The whole network; a clone is another handle on it.
#[derive(Clone)]
pub(crate) struct Net {
    inner: Arc<Mutex<Inner>>,
    pub(crate) trace: Trace,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

struct Inner {
    chance: Chance,
    /// Directed links that let nothing through.
    cut: BTreeSet<(Place, Place)>,
    /// Shortest delay. No less than the simulation's step, so that nothing arrives in the past.
    delay_min: u64,
    /// Longest delay of links that are slow.
    slow: BTreeMap<Place, u64>,
    /// Out of a thousand calls and answers, so many are lost, and as many calls come twice.
    lost: u64,
    /// Where nodes that run accept connections.
    doors: BTreeMap<Place, mpsc::UnboundedSender<SimStream>>,
    /// Connections begun so far: each has a number.
    connections: u64,
    /// Ends of connections that are to be told of changes: connection, and who reads there.
    waiting: BTreeMap<(u64, Place), Waker>,
    /// Connections up to this number, of these places, are reset.
    resets: BTreeMap<(Place, Place), u64>,
}

impl Net {
    pub(crate) fn new(chance: Chance, trace: Trace, delay_min: u64) -> Self {
        let inner = Inner {
            chance,
            cut: BTreeSet::new(),
            delay_min,
            slow: BTreeMap::new(),
            lost: 0,
            doors: BTreeMap::new(),
            connections: 0,
            waiting: BTreeMap::new(),
            resets: BTreeMap::new(),
        };
        Self { inner: Arc::new(Mutex::new(inner)), trace }
    }

    pub(crate) fn cut(&self, links: impl IntoIterator<Item = (Place, Place)>) {
        self.lock().cut.extend(links);
    }

    /// Every link works, nothing is slow or lost.
    pub(crate) fn heal(&self) {
        let mut inner = self.lock();
        inner.cut.clear();
        inner.slow.clear();
        inner.lost = 0;
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Everything from or to `place` takes up to so long.
    pub(crate) fn slow(&self, place: Place, delay_max: u64) {
        self.lock().slow.insert(place, delay_max);
    }

    /// Out of a thousand calls and answers, so many are lost from now on.
    pub(crate) fn lose(&self, permille: u64) {
        self.lock().lost = permille;
    }

    /// Ends the connections between the two, in the middle of whatever they carry.
    pub(crate) fn reset(&self, one: Place, other: Place) {
        let mut inner = self.lock();
        let until = inner.connections;
        inner.resets.insert((one, other), until);
        inner.resets.insert((other, one), until);
        let waiting = std::mem::take(&mut inner.waiting);
        drop(inner);
        waiting.into_values().for_each(Waker::wake);
    }

    /// Opens a door at which connections to `place` come in; the last one shuts.
    pub(crate) fn open(&self, place: Place) -> mpsc::UnboundedReceiver<SimStream> {
        let (door, coming) = mpsc::unbounded_channel();
        self.lock().doors.insert(place, door);
        coming
    }

    pub(crate) fn shut(&self, place: Place) {
        self.lock().doors.remove(&place);
    }

    pub(crate) fn is_cut(&self, from: Place, to: Place) -> bool {
        self.lock().cut.contains(&(from, to))
    }

    /// How long the next message takes.
    pub(crate) fn delay(&self, from: Place, to: Place) -> u64 {
        let mut inner = self.lock();
        let slow = [from, to].iter().filter_map(|place| inner.slow.get(place)).max().copied();
        let shortest = inner.delay_min;
        let longest = slow.unwrap_or(0).max(shortest * DELAY_SPREAD);
        inner.chance.within(shortest..longest + 1)
    }

    /// Whether a single message is lost.
    pub(crate) fn loses(&self, from: Place, to: Place) -> bool {
        let mut inner = self.lock();
        let lost = inner.lost;
        inner.cut.contains(&(from, to)) || inner.chance.permille(lost)
    }

    /// Whether a single message comes twice.
    pub(crate) fn doubles(&self) -> bool {
        let mut inner = self.lock();
        let doubled = inner.lost;
        inner.chance.permille(doubled)
    }

    /// What a connection's way from one place to another does now.
    fn way(&self, from: Place, to: Place, connection: u64) -> Way {
        let inner = self.lock();
        if inner.resets.get(&(from, to)).is_some_and(|until| connection <= *until) {
            return Way::Reset;
        }
        if inner.cut.contains(&(from, to)) { Way::Cut } else { Way::Open }
    }

    /// Whoever reads at this end is told of changes, until it forgets the connection.
    fn tell_me(&self, connection: u64, reader: Place, waker: &Waker) {
        self.lock().waiting.entry((connection, reader)).or_insert_with(|| waker.clone()).clone_from(waker);
    }

    fn forget(&self, connection: u64, reader: Place) {
        self.lock().waiting.remove(&(connection, reader));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There and back; never, if nothing comes back, not even a refusal: the caller's patience ends this.
    async fn round_trip(&self, from: Place, to: Place) {
        tokio::time::sleep(clock::local(self.delay(from, to) + self.delay(to, from))).await;
        if self.is_cut(from, to) || self.is_cut(to, from) {
            std::future::pending::<()>().await;
        }
    }

    async fn connect(&self, from: Place, to: Place) -> Result<SimStream, DialError> {
        let unreachable =
            |error: &str| DialError::Unreachable { addr: to.to_string(), error: error.to_owned() };
        self.round_trip(from, to).await;
        let connection = {
            let mut inner = self.lock();
            inner.connections += 1;
            inner.connections
        };
        let (near, far) = connect(self, from, to, connection);
        let door = self.lock().doors.get(&to).cloned();
        let sent = door.is_some_and(|door| door.send(far).is_ok());
        if sent { Ok(near) } else { Err(unreachable("nobody listens")) }
    }
}

/// What a connection's way from one place to another does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Bytes wait.
    Cut,
    /// The connection is no more.
    Reset,
}

/// One node's way to its peers.
#[derive(Debug)]
pub(crate) struct SimDialer {
    pub(crate) net: Net,
    pub(crate) own: Place,
}

impl Dial for SimDialer {
    fn dial<'a>(&'a self, target: u64, _addr: &'a str) -> BoxFuture<'a, Result<PeerStream, DialError>> {
        Box::pin(async move {
            let stream: PeerStream = Box::new(self.net.connect(self.own, target).await?);
            Ok(stream)
        })
    }

    fn refuses<'a>(&'a self, target: u64, _addr: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.net.round_trip(self.own, target).await;
            !self.net.lock().doors.contains_key(&target)
        })
    }
}
