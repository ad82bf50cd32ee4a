//! Dispatch: the leader's soft state about workers, and the way of tasks to them.
//!
//! Push and pull obey one rule: a worker that wants tasks has an acquire in the next entry that makes tasks ready, so that
//! a task is submitted and leased in one round of consensus. Only grants and expiries are in the log; connections, wants
//! and heartbeats are here, and a new leader starts from the leases that it finds applied.

mod beats;
mod housekeeping;
mod roster;
mod stream;
mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raftwork_api::frame::{Frame, FrameWriter};
use raftwork_api::stream::{MESSAGE, ToWorker, Work};
use raftwork_api::tasks::Progress;
use raftwork_api::workers::WorkerInfo;
use raftwork_kernel::{
    Accepted, Acquire, AcquireWith, Command, Event, Expire, Grant, LeaseRef, PythonVersion, Reply, RequestId,
    Tags, WorkerId, encode, limits,
};
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use self::beats::Beat;
use self::roster::{Delivery, Roster};
use self::work::WorkBuilder;
use crate::failpoint::reach;
use crate::group::{Leadership, Proposal, Proposals, Reign, Unavailable};
use crate::replica::Replica;

/// The rhythm of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// A lease ends this long after its worker was last heard from.
    pub ttl: Duration,
    /// How often workers beat.
    pub heartbeat: Duration,
    /// A grant whose start is not confirmed within this time goes back.
    pub start_deadline: Duration,
}

/// A worker without a stream asks for tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcquireRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// Names the ask; a repeat returns what is still held under it.
    pub request: RequestId,
    /// The worker's Python.
    pub python: PythonVersion,
    /// What else it offers.
    pub tags: Tags,
    /// Most tasks wanted.
    pub max: u16,
    /// How long to wait for some.
    pub wait: Duration,
}

type Grants = Vec<Grant>;

/// The leader's dispatcher; a clone is another handle on it. On a follower it knows nobody.
#[derive(Clone)]
pub struct Dispatcher {
    inner: Arc<Inner>,
}

struct Inner {
    roster: Mutex<Roster<FrameWriter, oneshot::Sender<Grants>>>,
    replica: Replica,
    proposals: Proposals,
    reign: Reign,
    timings: Timings,
    beats: mpsc::Sender<Beat>,
    work: WorkBuilder,
    /// Wakes the housekeeping.
    applied: Notify,
}

/// Heartbeats that may wait for the leadership to be confirmed: one for each worker is the common case.
const BEATS_MAX: usize = 4096;

impl Dispatcher {
    /// A dispatcher that knows nobody yet, and the heartbeats that [`Dispatcher::run_beats`] is to answer.
    pub(crate) fn new(
        replica: Replica,
        proposals: Proposals,
        reign: Reign,
        timings: Timings,
    ) -> (Self, Beats) {
        let (beats, queued) = mpsc::channel(BEATS_MAX);
        let inner = Inner {
            roster: Mutex::new(Roster::new(timings)),
            work: WorkBuilder::new(replica.clone()),
            replica,
            proposals,
            reign,
            timings,
            beats,
            applied: Notify::new(),
        };
        (Self { inner: Arc::new(inner) }, Beats(queued))
    }

    /// The rhythm of leases.
    pub fn timings(&self) -> Timings {
        self.inner.timings
    }

    /// The workers that this leader knows.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.roster().infos(Instant::now())
    }

    /// How far the task says it is that runs under this lease, if it said so to this leader.
    pub fn progress(&self, worker: WorkerId, lease: &LeaseRef) -> Option<Progress> {
        self.roster().progress_of(worker, lease)
    }

    /// Lets a worker finish what it has and take nothing more. `false`: no such worker.
    pub fn drain(&self, worker: WorkerId) -> bool {
        let (known, outbox) = self.roster().drain(worker);
        if let Some(outbox) = outbox {
            send(&outbox, &ToWorker::Drain);
        }
        known
    }

    /// Asks for tasks on behalf of a worker without a stream, and waits for some.
    ///
    /// # Errors
    /// When this node does not lead.
    pub async fn acquire(&self, ask: AcquireRequest) -> Result<Vec<Work>, Unavailable> {
        self.inner.reign.check()?;
        let (waiter, answer) = oneshot::channel();
        let offer = (ask.python, ask.tags.clone());
        self.roster().ask_once(Instant::now(), ask.worker, offer, (ask.request, ask.max), waiter);
        let mut waiting = Waiting { dispatcher: self, ask: &ask, answer };
        if let Some(repeat) = self.repeated(&ask).await? {
            return Ok(self.inner.work.build(&repeat));
        }
        self.inner.proposals.wake();
        match tokio::time::timeout(ask.wait, &mut waiting.answer).await {
            Ok(Ok(grants)) => Ok(self.inner.work.build(&grants)),
            Ok(Err(_)) => Err(self.inner.reign.unavailable()),
            Err(_) => {
                // What came in this very moment is not thrown away.
                waiting.answer.close();
                let grants = waiting.answer.try_recv().unwrap_or_default();
                Ok(self.inner.work.build(&grants))
            }
        }
    }

    /// The grants that the worker still holds under this request id: the first answer was lost on its way.
    async fn repeated(&self, ask: &AcquireRequest) -> Result<Option<Grants>, Unavailable> {
        if !self.inner.replica.has_leases_under(ask.worker, ask.request) {
            return Ok(None);
        }
        let acquire = Acquire { worker: ask.worker, request: ask.request, max: ask.max, python: ask.python };
        let replies = self.inner.proposals.propose(vec![Command::Acquire(acquire)]).await?;
        Ok(granted(&replies[0]).filter(|grants| !grants.is_empty()))
    }

    /// A heartbeat of a worker without a stream: returns the leases among `held` that are over.
    ///
    /// # Errors
    /// When this node could not confirm that it leads; the worker must not count it as answered.
    pub async fn beat(
        &self,
        worker: WorkerId,
        held: &[(LeaseRef, bool)],
    ) -> Result<Vec<LeaseRef>, Unavailable> {
        self.inner.reign.check()?;
        self.note_beat(worker, held, None);
        let (answer, answered) = oneshot::channel();
        let held = held.iter().map(|(lease, _)| *lease).collect();
        let beat = Beat { held, answer: beats::Answer::Caller(answer) };
        self.inner.beats.send(beat).await.map_err(|_| Unavailable::Stopping)?;
        answered.await.unwrap_or_else(|_| Err(self.inner.reign.unavailable()))
    }

    /// A worker that had fallen silent and is back may have work at once.
    fn note_beat(&self, worker: WorkerId, held: &[(LeaseRef, bool)], draining: Option<bool>) {
        if self.roster().beat(Instant::now(), worker, held, draining) {
            self.inner.proposals.wake();
        }
    }

    /// These leases of a worker without a stream have started.
    pub fn started(&self, worker: WorkerId, leases: &[LeaseRef]) {
        self.roster().started(Instant::now(), worker, leases);
    }

    /// A worker without a stream has reported the end of a lease.
    pub fn reported(&self, worker: WorkerId, lease: &LeaseRef) {
        let mut roster = self.roster();
        roster.heard(Instant::now(), worker);
        roster.let_go(worker, lease);
    }

    /// This node leads now: every lease counts as heard of at this moment.
    pub(crate) fn reign_begins(&self) {
        self.roster().reset(Instant::now(), self.inner.replica.leases());
    }

    /// This node leads no more: workers are sent to the new leader.
    pub(crate) fn reign_ends(&self, leader: Option<&str>) {
        let outboxes = {
            let mut roster = self.roster();
            let outboxes = roster.outboxes();
            roster.reset(Instant::now(), []);
            outboxes
        };
        let message = ToWorker::NotLeader { leader: leader.map(ToOwned::to_owned) };
        for outbox in outboxes {
            send(&outbox, &message);
        }
    }

    /// Acquires to ride in the entry that will carry `commands`.
    pub(crate) fn ride(&self, commands: &[Command]) -> Vec<AcquireWith> {
        let fresh: usize = commands.iter().map(becoming_ready).sum();
        let tagged: Vec<(&Tags, usize)> = commands.iter().filter_map(becoming_ready_for).collect();
        let ready = self.inner.replica.grantable_by_need();
        let available = |python: PythonVersion, tags: &Tags| {
            let fresh_tagged = tagged.iter().filter(|(needed, _)| needed.are_in(tags));
            let ready = ready.iter().filter(|(need, _)| need.is_met_by(python, tags));
            fresh
                + fresh_tagged.map(|(_, count)| count).sum::<usize>()
                + ready.map(|(_, count)| count).sum::<usize>()
        };
        self.roster().ride(available, || RequestId::from(Uuid::now_v7()))
    }

    /// An acquire that rode has its reply, or will never have one.
    pub(crate) fn settle(&self, acquire: &Acquire, reply: Option<&Reply>) {
        let grants = reply.and_then(granted);
        let delivery =
            self.roster().settle(Instant::now(), acquire.worker, acquire.request, grants.as_deref());
        let Some(grants) = grants else { return };
        reach("lease.before_grant_reply");
        match delivery {
            Delivery::Stream(outbox) => {
                for work in work::in_frames(self.inner.work.build(&grants)) {
                    send(&outbox, &ToWorker::Grants { request: acquire.request, work });
                }
            }
            Delivery::Caller(waiter) => {
                // A caller that has gone finds its grants again by repeating the request; else they go back unstarted.
                let _ = waiter.send(grants);
            }
            Delivery::Nobody => {}
        }
    }

    /// Tells holders whose leases ended without their doing.
    pub(crate) fn observe(&self, events: &[Event]) {
        self.inner.applied.notify_one();
        for event in events {
            if let Event::Revoked { task, token, worker } = event {
                let lease = LeaseRef { task: *task, token: *token };
                let outbox = self.roster().let_go(*worker, &lease);
                if let Some(outbox) = outbox {
                    send(&outbox, &ToWorker::Revoke(vec![lease]));
                }
            }
        }
    }

    /// Proposes the end of leases whose worker is lost or did not start them.
    async fn expire(&self, leases: Vec<(LeaseRef, bool)>) {
        if leases.is_empty() {
            return;
        }
        let commands = vec![Command::Expire(Expire { leases })];
        if let Err(error) = self.inner.proposals.propose(commands).await {
            tracing::warn!(%error, "could not expire leases; they are looked at again");
        }
    }

    fn roster(&self) -> MutexGuard<'_, Roster<FrameWriter, oneshot::Sender<Grants>>> {
        self.inner.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A caller that waits for the answer to its ask. If it goes away, however that happens, so does the ask: a grant to
/// nobody would keep a task from everybody for its start deadline.
struct Waiting<'a> {
    dispatcher: &'a Dispatcher,
    ask: &'a AcquireRequest,
    answer: oneshot::Receiver<Grants>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.answer.close();
        let AcquireRequest { worker, request, .. } = *self.ask;
        self.dispatcher.roster().withdraw(worker, request, oneshot::Sender::is_closed);
    }
}

/// The queue of heartbeats, to be answered by [`Dispatcher::run_beats`].
pub(crate) struct Beats(mpsc::Receiver<Beat>);

/// How many tasks a command may make ready, at most.
fn becoming_ready(command: &Command) -> usize {
    match command {
        Command::Submit(submit) if submit.options.delay.0 == 0 => submit.items.len(),
        Command::Expire(expire) => expire.leases.len(),
        Command::Release(_) | Command::Redrive(_) => 1,
        Command::Register(_)
        | Command::Submit(_)
        | Command::SubmitUnder(_)
        | Command::Acquire(_)
        | Command::AcquireWith(_)
        | Command::Extend(_)
        | Command::Complete(_)
        | Command::Fail(_)
        | Command::Cancel(_)
        | Command::Forget(_)
        | Command::Store(_)
        | Command::Map(_)
        | Command::CancelMap(_)
        | Command::StorePart(_)
        | Command::CompleteInParts(_)
        | Command::SetLimit(_)
        | Command::PutSchedule(_)
        | Command::ChangeSchedule(_)
        // Which workers the tasks of schedules suit is found out when they are ready.
        | Command::Fire(_)
        | Command::Trigger(_) => 0,
    }
}

/// How many tasks a submit under rules may make ready at most, and for whom: no more than its limits let start. How many
/// items a map has is told only by its reply: it counts for all that one entry may do.
fn becoming_ready_for(command: &Command) -> Option<(&Tags, usize)> {
    let (options, rules, count) = if let Command::SubmitUnder(under) = command {
        (&under.submit.options, &under.rules, under.submit.items.len())
    } else if let Command::Map(map) = command {
        (&map.options, &map.rules, limits::EXPANDED_PER_ENTRY_MAX)
    } else {
        return None;
    };
    let bounds = rules.limits().map(|(_, bound)| usize::try_from(bound.max).unwrap_or(usize::MAX));
    let most = bounds.min().unwrap_or(usize::MAX);
    let waits = options.delay.0 > 0 || rules.run_at().is_some() || rules.after().is_some();
    (!waits).then(|| (rules.tags(), count.min(most)))
}

fn granted(reply: &Reply) -> Option<Grants> {
    match reply {
        Ok(Accepted::Granted(grants)) => Some(grants.clone()),
        Ok(_) | Err(_) => None,
    }
}

/// Sends without waiting. A worker whose queue is full does not read: what it misses goes back by its deadline.
fn send(outbox: &FrameWriter, message: &ToWorker) {
    let frame = Frame { id: 0, kind: MESSAGE, payload: encode(message).into() };
    if let Err(error) = outbox.try_send(frame) {
        tracing::debug!(%error, "a message to a worker was dropped");
    }
}
