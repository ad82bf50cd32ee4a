//! Who the workers are, what they hold and what they want: the leader's soft state, and every decision made on it.
//!
//! Pure: time comes in as an argument, and what is to be sent goes out as a value. Nothing here is replicated; a new
//! leader starts from the leases in the applied state and treats each as heard of at that moment.

mod about;
mod held;
mod progress;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use raftwork_api::stream::Hello;
use raftwork_api::tasks::Progress;
use raftwork_api::workers::{WorkerInfo, WorkerMode};
use raftwork_kernel::{Acquire, AcquireWith, Grant, LeaseRef, PythonVersion, RequestId, Tags, WorkerId};

use self::about::About;
use self::held::Held;
use super::Timings;

/// `O` is the way to a worker's stream, `W` the way to a caller that waits for one answer.
pub(super) struct Roster<O, W> {
    timings: Timings,
    sessions: BTreeMap<WorkerId, Session<O, W>>,
    /// Leases of the applied state that no session knew of at the last look.
    suspects: BTreeSet<LeaseRef>,
    /// Who was served last: the next round begins after it, so that nobody starves.
    served_last: Option<WorkerId>,
}

struct Session<O, W> {
    about: About,
    /// What it offers beside its Python. Kept over a reconnect: it is the same process.
    tags: Tags,
    draining: bool,
    heard: Instant,
    /// Not heard from for a whole time to live: it is given nothing until it is. A connection can stay open so long.
    silent: bool,
    held: BTreeMap<LeaseRef, Held>,
    /// What tasks that it holds, or held until just now, said of how far they are.
    progress: BTreeMap<LeaseRef, Progress>,
    asks: BTreeMap<RequestId, Ask<W>>,
    /// Acquires that were proposed and have no answer yet, with how many tasks each may bring.
    in_flight: BTreeMap<RequestId, u16>,
    outbox: Option<Outbox<O>>,
}

/// A worker that asks for tasks, until there are some.
struct Ask<W> {
    max: u16,
    /// The caller, if the ask did not come over a stream.
    waiter: Option<W>,
}

struct Outbox<O> {
    /// Tells one connection of a worker from its next one.
    connection: u64,
    to: O,
}

/// Where grants go.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Delivery<O, W> {
    /// To the worker's stream.
    Stream(O),
    /// To whoever waits for this one answer.
    Caller(W),
    /// The worker is gone: the grants go back when their start deadline is over.
    Nobody,
}

impl<O: Clone, W> Roster<O, W> {
    pub(super) const fn new(timings: Timings) -> Self {
        Self { timings, sessions: BTreeMap::new(), suspects: BTreeSet::new(), served_last: None }
    }

    /// Starts over from the leases of the applied state, each as heard of now.
    pub(super) fn reset(&mut self, now: Instant, leases: impl IntoIterator<Item = (WorkerId, LeaseRef)>) {
        *self = Self::new(self.timings);
        for (worker, lease) in leases {
            let session = self.sessions.entry(worker).or_insert_with(|| Session::unheard(now));
            session.held.insert(lease, Held { granted: None, started: false, named: now });
        }
    }

    /// Every stream that there is.
    pub(super) fn outboxes(&self) -> Vec<O> {
        self.sessions.values().filter_map(Session::outbox).collect()
    }

    /// Takes a worker in. `held` is what it holds and the applied state agrees to. Returns the leases that it should hold
    /// and does not: grants that were lost on their way.
    pub(super) fn hello(
        &mut self,
        now: Instant,
        hello: &Hello,
        held: &[(LeaseRef, bool)],
        connection: u64,
        to: O,
    ) -> Vec<(LeaseRef, bool)> {
        let session = self.sessions.entry(hello.worker).or_insert_with(|| Session::unheard(now));
        session.about = About::of(hello);
        session.hear(now);
        session.outbox = Some(Outbox { connection, to });
        session.asks.clear();
        let kept: BTreeSet<LeaseRef> = held.iter().map(|(lease, _)| *lease).collect();
        let lost: Vec<LeaseRef> =
            session.held.keys().filter(|lease| !kept.contains(lease)).copied().collect();
        session.held.retain(|lease, _| kept.contains(lease));
        for (lease, started) in held {
            session.hold(*lease, now).started |= started;
        }
        lost.into_iter().map(|lease| (lease, false)).collect()
    }

    /// The connection is gone; the worker has its time to live to come back.
    pub(super) fn disconnect(&mut self, worker: WorkerId, connection: u64) {
        if let Some(session) = self.sessions.get_mut(&worker)
            && session.outbox.as_ref().is_some_and(|outbox| outbox.connection == connection)
        {
            session.outbox = None;
            session.asks.retain(|_, ask| ask.waiter.is_some());
        }
    }

    /// A sign of life.
    pub(super) fn heard(&mut self, now: Instant, worker: WorkerId) {
        if let Some(session) = self.sessions.get_mut(&worker) {
            session.hear(now);
        }
    }

    /// A heartbeat with everything that the worker holds. Returns whether it had fallen silent before.
    pub(super) fn beat(
        &mut self,
        now: Instant,
        worker: WorkerId,
        held: &[(LeaseRef, bool)],
        draining: Option<bool>,
    ) -> bool {
        let session = self.sessions.entry(worker).or_insert_with(|| Session::unheard(now));
        let was_silent = session.silent;
        session.hear(now);
        session.draining |= draining.unwrap_or(false);
        for (lease, started) in held {
            if let Some(held) = session.held.get_mut(lease) {
                held.started |= started;
                held.named = now;
            }
        }
        was_silent
    }

    /// These have started.
    pub(super) fn started(&mut self, now: Instant, worker: WorkerId, leases: &[LeaseRef]) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        session.hear(now);
        for lease in leases {
            if let Some(held) = session.held.get_mut(lease) {
                held.started = true;
                held.named = now;
            }
        }
    }

    /// A worker on a stream has something to report: these have started, and those are over, so that their slots are
    /// free.
    pub(super) fn report(
        &mut self,
        now: Instant,
        worker: WorkerId,
        started: &[LeaseRef],
        ended: &[LeaseRef],
    ) {
        self.started(now, worker, started);
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        for lease in ended {
            session.held.remove(lease);
        }
    }

    /// A worker on a stream will hold so many tasks from now on. Returns whether these are more than before.
    pub(super) fn capacity(&mut self, now: Instant, worker: WorkerId, capacity: u16) -> bool {
        let Some(session) = self.sessions.get_mut(&worker) else { return false };
        session.hear(now);
        let before = std::mem::replace(&mut session.about.capacity, capacity);
        before < capacity
    }

    /// A worker on a stream offers these tags from now on.
    pub(super) fn offer(&mut self, now: Instant, worker: WorkerId, tags: Tags) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        session.hear(now);
        session.tags = tags;
    }

    /// A worker on a stream asks; the ask replaces an earlier one that is still unanswered. For nothing: it has withdrawn
    /// that one.
    pub(super) fn ask(&mut self, now: Instant, worker: WorkerId, request: RequestId, max: u16) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        session.hear(now);
        session.asks.retain(|_, ask| ask.waiter.is_some());
        if max > 0 {
            session.asks.insert(request, Ask { max, waiter: None });
        }
    }

    /// A worker without a stream asks, and `waiter` waits for the answer.
    pub(super) fn ask_once(
        &mut self,
        now: Instant,
        worker: WorkerId,
        (python, tags): (PythonVersion, Tags),
        (request, max): (RequestId, u16),
        waiter: W,
    ) {
        let session = self.sessions.entry(worker).or_insert_with(|| Session::unheard(now));
        session.hear(now);
        session.about.python = python;
        session.tags = tags;
        session.about.slots = session.about.slots.max(max);
        if session.about.name.is_empty() {
            session.about.name = format!("rest-{worker}");
        }
        session.asks.insert(request, Ask { max, waiter: Some(waiter) });
    }

    /// The waiter of this ask has gone, unless the ask was repeated meanwhile and has another one now.
    pub(super) fn withdraw(&mut self, worker: WorkerId, request: RequestId, has_gone: impl Fn(&W) -> bool) {
        if let Some(session) = self.sessions.get_mut(&worker) {
            let is_over = |ask: &Ask<W>| ask.waiter.as_ref().is_some_and(&has_gone);
            session.asks.retain(|id, ask| *id != request || !is_over(ask));
        }
    }

    /// A lease is over, by report, revocation or expiry: its slot is free.
    pub(super) fn let_go(&mut self, worker: WorkerId, lease: &LeaseRef) -> Option<O> {
        let session = self.sessions.get_mut(&worker)?;
        session.held.remove(lease);
        session.outbox()
    }

    /// The worker shall take nothing more. Returns whether there is such a worker, and its stream if it has one.
    pub(super) fn drain(&mut self, worker: WorkerId) -> (bool, Option<O>) {
        let Some(session) = self.sessions.get_mut(&worker) else { return (false, None) };
        session.draining = true;
        (true, session.outbox())
    }

    /// Acquires for the workers that want tasks, to ride in the next entry. `available` says how many ready tasks a worker
    /// with this Python and these tags will find there.
    ///
    /// Tasks go to free slots first, and only what is left is held by workers beyond these: a task must not wait at one
    /// worker while another has nothing to do.
    pub(super) fn ride(
        &mut self,
        available: impl Fn(PythonVersion, &Tags) -> usize,
        mut new_request: impl FnMut() -> RequestId,
    ) -> Vec<AcquireWith> {
        let wants = self.wants();
        let mut promised: usize = self
            .sessions
            .values()
            .flat_map(|session| session.in_flight.values())
            .map(|max| usize::from(*max))
            .sum();
        let mut allotted = vec![0; wants.len()];
        for limit in [|want: &Want| want.idle, |want: &Want| want.max] {
            for (place, want) in wants.iter().enumerate() {
                let left = available(want.python, &want.tags).saturating_sub(promised);
                let share = left.div_ceil(wants.len() - place);
                let more = limit(want).saturating_sub(allotted[place]);
                let more = more.min(u16::try_from(share).unwrap_or(u16::MAX));
                promised += usize::from(more);
                allotted[place] += more;
            }
        }
        let mut acquires = Vec::new();
        for (want, max) in wants.into_iter().zip(allotted).filter(|(_, max)| *max > 0) {
            let session = self.sessions.get_mut(&want.worker).expect("it was just listed");
            let request = want.request.unwrap_or_else(&mut new_request);
            session.in_flight.insert(request, max);
            self.served_last = Some(want.worker);
            let acquire = Acquire { worker: want.worker, request, max, python: want.python };
            acquires.push(AcquireWith { acquire, tags: want.tags });
        }
        acquires
    }

    /// Every worker that can take more, beginning after the one that was served last.
    fn wants(&self) -> Vec<Want> {
        let mut wants: Vec<Want> = self
            .sessions
            .iter()
            .filter(|(_, session)| !session.draining)
            .flat_map(|(worker, session)| session.wants(*worker))
            .collect();
        let first = wants.partition_point(|want| Some(want.worker) <= self.served_last);
        wants.rotate_left(first);
        wants
    }

    /// A proposed acquire has its answer: `None` if it is unknown whether it was applied.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        worker: WorkerId,
        request: RequestId,
        grants: Option<&[Grant]>,
    ) -> Delivery<O, W> {
        let Some(session) = self.sessions.get_mut(&worker) else { return Delivery::Nobody };
        session.in_flight.remove(&request);
        let grants = grants.unwrap_or_default();
        if grants.is_empty() {
            return Delivery::Nobody;
        }
        for grant in grants {
            session.hold(LeaseRef { task: grant.task, token: grant.token }, now);
        }
        match session.asks.remove(&request) {
            Some(Ask { waiter: Some(waiter), .. }) => {
                // It was there all the time, waiting: its time to live begins with the answer.
                session.hear(now);
                Delivery::Caller(waiter)
            }
            Some(Ask { waiter: None, .. }) | None => {
                session.outbox().map_or(Delivery::Nobody, Delivery::Stream)
            }
        }
    }

    /// Leases to expire now, with whether each had started: all of a worker that was not heard from for a whole time to
    /// live, grants whose start was not confirmed in time, and what its worker has not named for so long. A worker that is
    /// lost so, but still connected or waiting for an answer, keeps its place.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(LeaseRef, bool)> {
        let Timings { ttl, start_deadline, .. } = self.timings;
        let mut overdue = Vec::new();
        self.sessions.retain(|worker, session| {
            if now.saturating_duration_since(session.heard) > ttl {
                if !session.held.is_empty() {
                    tracing::warn!(%worker, name = session.about.name, leases = session.held.len(), "worker lost: not heard from for {ttl:?}");
                }
                overdue.extend(session.held.iter().map(|(lease, held)| (*lease, held.started)));
                session.held.clear();
                session.silent = true;
                return session.outbox.is_some() || session.has_caller();
            }
            session.held.retain(|lease, held| {
                let late = !held.started && held.is_older(now, start_deadline);
                let dropped = now.saturating_duration_since(held.named) > ttl;
                if late || dropped {
                    overdue.push((*lease, held.started));
                }
                !late && !dropped
            });
            true
        });
        overdue
    }

    /// Whether anybody holds a lease.
    pub(super) fn holds_leases(&self) -> bool {
        self.sessions.values().any(|session| !session.held.is_empty())
    }

    /// This node stood still for `gap`, until now, and heard nobody meanwhile, whoever spoke: that time counts for no
    /// deadline.
    pub(super) fn slept(&mut self, now: Instant, gap: Duration) {
        let later = |moment: &mut Instant| *moment = (*moment + gap).min(now);
        for session in self.sessions.values_mut() {
            later(&mut session.heard);
            for held in session.held.values_mut() {
                later(&mut held.named);
                held.granted.as_mut().map(later);
            }
        }
    }

    /// Compares with the leases of the applied state: a lease that nobody here knew of at two looks in a row is one whose
    /// grant was lost with an unanswered proposal. It is taken up as unstarted.
    pub(super) fn reconcile(&mut self, now: Instant, leases: &[(WorkerId, LeaseRef)]) {
        let mut suspects = BTreeSet::new();
        for (worker, lease) in leases {
            let session = self.sessions.entry(*worker).or_insert_with(|| Session::unheard(now));
            if session.held.contains_key(lease) || !session.in_flight.is_empty() {
                continue;
            }
            if self.suspects.contains(lease) {
                session.hold(*lease, now);
            } else {
                suspects.insert(*lease);
            }
        }
        self.suspects = suspects;
        let live: BTreeSet<&LeaseRef> = leases.iter().map(|(_, lease)| lease).collect();
        for session in self.sessions.values_mut() {
            session.held.retain(|lease, held| live.contains(lease) || !held.is_older(now, SETTLED));
        }
    }

    /// For people.
    pub(super) fn infos(&self, now: Instant) -> Vec<WorkerInfo> {
        let info = |(worker, session): (&WorkerId, &Session<O, W>)| WorkerInfo {
            worker_id: *worker,
            name: session.about.name.clone(),
            mode: session.about.mode,
            python: session.about.python.to_string(),
            tags: session.tags.iter().map(ToOwned::to_owned).collect(),
            slots: session.about.slots,
            held: session.held.len(),
            draining: session.draining,
            silent_ms: u64::try_from(now.saturating_duration_since(session.heard).as_millis())
                .unwrap_or(u64::MAX),
        };
        let is_there = |session: &Session<O, W>| !session.silent || session.has_caller();
        let shown = |session: &Session<O, W>| !session.about.name.is_empty() && is_there(session);
        self.sessions.iter().filter(|(_, session)| shown(session)).map(info).collect()
    }
}

/// Age at which a lease that the applied state does not have is not merely younger than the look at that state.
const SETTLED: Duration = Duration::from_secs(1);

struct Want {
    worker: WorkerId,
    python: PythonVersion,
    tags: Tags,
    request: Option<RequestId>,
    /// Tasks that would start at once.
    idle: u16,
    /// Tasks that it would take, those that start at once among them.
    max: u16,
}

impl<O: Clone, W> Session<O, W> {
    /// A worker that is known by its leases alone.
    fn unheard(now: Instant) -> Self {
        Self {
            about: About::unknown(),
            tags: Tags::default(),
            draining: false,
            heard: now,
            silent: false,
            held: BTreeMap::new(),
            progress: BTreeMap::new(),
            asks: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            outbox: None,
        }
    }

    const fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.silent = false;
    }

    /// Whether somebody without a stream waits for tasks.
    fn has_caller(&self) -> bool {
        self.asks.values().any(|ask| ask.waiter.is_some())
    }

    fn outbox(&self) -> Option<O> {
        self.outbox.as_ref().map(|outbox| outbox.to.clone())
    }

    fn hold(&mut self, lease: LeaseRef, now: Instant) -> &mut Held {
        let held = self.held.entry(lease).or_insert(Held { granted: Some(now), started: false, named: now });
        held.named = now;
        held.granted.get_or_insert(now);
        held
    }

    fn wants(&self, worker: WorkerId) -> Vec<Want> {
        let (python, tags) = (self.about.python, &self.tags);
        let busy = self.held.len() + self.in_flight.values().map(|max| usize::from(*max)).sum::<usize>();
        let free = |of: u16| of.saturating_sub(u16::try_from(busy).unwrap_or(u16::MAX));
        let idle = free(self.about.slots);
        if self.outbox.is_some() && self.about.mode == WorkerMode::Push {
            let max = free(self.about.capacity);
            let wants = max > 0 && !self.silent;
            let tags = tags.clone();
            return Vec::from_iter(wants.then_some(Want { worker, python, tags, request: None, idle, max }));
        }
        let unanswered = self.asks.iter().filter(|(request, _)| !self.in_flight.contains_key(request));
        let unanswered = unanswered.filter(|(_, ask)| ask.waiter.is_some() || !self.silent);
        let want = |(request, ask): (&RequestId, &Ask<W>)| {
            // A caller without a stream runs what it gets; nobody knows how many slots it has.
            let idle = if ask.waiter.is_some() { ask.max } else { idle.min(ask.max) };
            Want { worker, python, tags: tags.clone(), request: Some(*request), idle, max: ask.max }
        };
        unanswered.map(want).collect()
    }
}

#[cfg(test)]
mod tests;
