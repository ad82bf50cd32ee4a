//! What was asked and is not answered yet, and what is watched: the part of the client that decides.
//!
//! Synchronous, without sockets and without a clock: [`crate::runner`] tells it what happened and when, and sends what
//! [`Session::outgoing`] holds. Invariants:
//! - every request is either answered, or in `pending` and repeated on each new connection under the same ids;
//! - every watched task is told of exactly once to each of its sinks;
//! - a task is watched by itself only after its submit was confirmed: before, the node may not know it yet.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use raftwork_api::frame::Frame;
use raftwork_api::kernel::{Millis, Record, TaskId, decode, encode};
use raftwork_api::stream::{FromClient, MESSAGE, ToClient};
use tokio::sync::oneshot;

use crate::error::Unavailable;
use crate::watch::{Encoded, Finished, Sink};

/// Requests without an answer that a client holds; callers beyond it wait for their turn.
pub(crate) const PENDING_MAX: usize = 1024;
/// Frames to be sent that a client holds before it takes no more requests.
pub(crate) const OUTGOING_MAX: usize = 1024;
/// Tasks in one watch message: 160 kB.
const WATCH_CHUNK: usize = 10_000;
/// Pause before a request is repeated whose fate the node does not know.
const UNKNOWN_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause that a busy node can impose.
const BUSY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a handle asks of the session.
#[derive(Debug)]
pub(crate) enum Request {
    /// A question with one answer.
    Call(Call),
    /// Tasks to watch.
    Watch { tasks: Vec<TaskId>, sink: Sink },
}

/// A question with one answer.
#[derive(Debug)]
pub(crate) struct Call {
    /// The encoded [`FromClient`], the same bytes however often it is repeated.
    pub(crate) message: Encoded,
    /// When patience began and when it ends.
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    /// For a submit with watch: its tasks, and where their records go.
    pub(crate) watching: Option<(Vec<TaskId>, Sink)>,
    /// Where the answer goes.
    pub(crate) reply: oneshot::Sender<Result<ToClient, Unavailable>>,
}

/// What the runner shall do after a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on; the node has answered as a leader does.
    Stay,
    /// Leave this node: it does not lead.
    Move(Option<String>),
    /// The nodes are these.
    Learn(Vec<String>),
}

struct Pending {
    message: Encoded,
    purpose: Purpose,
    /// When something is due: the repeat, or the end of patience.
    wake: Option<Instant>,
    /// Not to be repeated before.
    retry_at: Option<Instant>,
}

enum Purpose {
    Call(CallState),
    /// Made anew from `watched` on each connection.
    Watch,
    /// An empty watch, which any leader answers.
    Ping,
}

struct CallState {
    since: Instant,
    deadline: Instant,
    watching: Option<(Vec<TaskId>, Sink)>,
    reply: oneshot::Sender<Result<ToClient, Unavailable>>,
}

struct Watched {
    sinks: Vec<Sink>,
    /// Whether the cluster is known to know the task.
    confirmed: bool,
}

/// See the module.
pub(crate) struct Session {
    pending: BTreeMap<u64, Pending>,
    wakes: BTreeSet<(Instant, u64)>,
    watched: HashMap<TaskId, Watched>,
    outgoing: VecDeque<Frame>,
    next_id: u64,
    linked: bool,
    trouble: String,
}

impl Session {
    /// A session that has asked nothing.
    pub(crate) fn new() -> Self {
        Self {
            pending: BTreeMap::new(),
            wakes: BTreeSet::new(),
            watched: HashMap::new(),
            outgoing: VecDeque::new(),
            next_id: 1,
            linked: false,
            trouble: "no node was reached yet".to_owned(),
        }
    }

    /// Whether a connection is of any use.
    pub(crate) fn needs_link(&self) -> bool {
        !self.pending.is_empty() || self.watched.values().any(|watched| watched.confirmed)
    }

    /// Whether more requests may be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX && self.outgoing.len() < OUTGOING_MAX
    }

    /// When [`Session::tick`] has something to do.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Frames to send, in order. The runner takes off the front what it has sent.
    pub(crate) fn outgoing(&mut self) -> &mut VecDeque<Frame> {
        &mut self.outgoing
    }

    /// Takes a request in.
    pub(crate) fn ask(&mut self, request: Request) {
        match request {
            Request::Call(call) => self.call(call),
            Request::Watch { tasks, sink } => self.watch(&tasks, &sink),
        }
    }

    fn call(&mut self, call: Call) {
        let Call { message, since, deadline, watching, reply } = call;
        if let Some((tasks, sink)) = &watching {
            for task in tasks {
                self.add_sink(*task, sink, false);
            }
        }
        self.add(message, Purpose::Call(CallState { since, deadline, watching, reply }));
    }

    fn watch(&mut self, tasks: &[TaskId], sink: &Sink) {
        for task in tasks {
            self.add_sink(*task, sink, true);
        }
        if self.linked {
            self.send_watches(tasks);
        }
    }

    /// Asks the leader for a sign of life.
    pub(crate) fn ping(&mut self) {
        let message = encode(&FromClient::Watch(Vec::new())).into();
        self.add(message, Purpose::Ping);
    }

    fn add_sink(&mut self, task: TaskId, sink: &Sink, confirmed: bool) {
        let entry =
            self.watched.entry(task).or_insert_with(|| Watched { sinks: Vec::with_capacity(1), confirmed });
        entry.confirmed |= confirmed;
        entry.sinks.push(sink.clone());
    }

    fn add(&mut self, message: Encoded, purpose: Purpose) {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, Pending { message, purpose, wake: None, retry_at: None });
        self.send(id);
    }

    fn send_watches(&mut self, tasks: &[TaskId]) {
        for chunk in tasks.chunks(WATCH_CHUNK) {
            let message = encode(&FromClient::Watch(chunk.to_vec())).into();
            self.add(message, Purpose::Watch);
        }
    }

    /// Queues the frame of a pending request, if there is somewhere to send it, and sets its next wake.
    fn send(&mut self, id: u64) {
        let pending = self.pending.get_mut(&id).expect("only pending requests are sent");
        pending.retry_at = None;
        if self.linked {
            let payload = pending.message.clone();
            self.outgoing.push_back(Frame { id, kind: MESSAGE, payload });
        }
        self.set_wake(id);
    }

    fn set_wake(&mut self, id: u64) {
        let pending = self.pending.get_mut(&id).expect("only pending requests wake");
        let deadline = match &pending.purpose {
            Purpose::Call(call) => Some(call.deadline),
            Purpose::Watch | Purpose::Ping => None,
        };
        let wake = pending.retry_at.into_iter().chain(deadline).min();
        if let Some(old) = std::mem::replace(&mut pending.wake, wake) {
            self.wakes.remove(&(old, id));
        }
        self.wakes.extend(wake.map(|at| (at, id)));
    }

    fn remove(&mut self, id: u64) -> Option<Purpose> {
        let pending = self.pending.remove(&id)?;
        if let Some(at) = pending.wake {
            self.wakes.remove(&(at, id));
        }
        Some(pending.purpose)
    }

    /// A connection is there: everything that has no answer is asked again, and everything watched is watched again.
    pub(crate) fn linked(&mut self) {
        self.linked = true;
        self.outgoing.clear();
        let ids: Vec<u64> = self.pending.keys().copied().collect();
        for id in ids {
            if self.pending[&id].is_call() {
                self.send(id);
            } else {
                self.remove(id);
            }
        }
        self.watched.retain(|_, watched| watched.sinks.iter().any(|sink| !sink.is_closed()));
        let confirmed = self.watched.iter().filter(|(_, watched)| watched.confirmed);
        let tasks: Vec<TaskId> = confirmed.map(|(task, _)| *task).collect();
        self.send_watches(&tasks);
    }

    /// The connection is gone, or could not be made.
    pub(crate) fn unlinked(&mut self, trouble: String) {
        self.linked = false;
        self.outgoing.clear();
        self.trouble = trouble;
        #[cfg(feature = "mutants")]
        if raftwork_api::kernel::mutants::mutant("M17") {
            self.pending.values_mut().for_each(|pending| pending.message = rekeyed(&pending.message));
        }
    }

    /// A frame has arrived.
    ///
    /// # Errors
    /// What is wrong with it: the peer does not speak this protocol, and the connection is of no use.
    pub(crate) fn frame(&mut self, now: Instant, frame: &Frame) -> Result<Next, String> {
        if frame.kind != MESSAGE {
            return Err(format!("a frame of unknown kind {}", frame.kind));
        }
        let message: ToClient = decode("message", &frame.payload).map_err(|error| error.to_string())?;
        match message {
            ToClient::Finished(finished) => self.deliver(finished),
            ToClient::NotLeader { leader } => return Ok(Next::Move(leader)),
            ToClient::Members(urls) => return Ok(Next::Learn(urls)),
            ToClient::Busy { retry_after } => {
                self.retry_later(now, frame.id, busy_pause(retry_after), "the node is busy");
            }
            ToClient::Unknown { reason } => self.retry_later(now, frame.id, UNKNOWN_PAUSE, &reason),
            answer @ (ToClient::Reply(_) | ToClient::Status(_) | ToClient::Watching) => {
                self.answer(frame.id, answer);
            }
        }
        Ok(Next::Stay)
    }

    fn answer(&mut self, id: u64, answer: ToClient) {
        // No purpose: the caller's patience was over before the answer came.
        let Some(Purpose::Call(call)) = self.remove(id) else {
            return;
        };
        if let Some((tasks, sink)) = call.watching {
            if answer.rejection().is_some() {
                self.unwatch(&tasks, &sink);
            } else {
                self.confirm(&tasks);
            }
        }
        // An error means that the caller has stopped waiting.
        let _ = call.reply.send(Ok(answer));
    }

    fn confirm(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            // Not there: it has ended already.
            if let Some(watched) = self.watched.get_mut(task) {
                watched.confirmed = true;
            }
        }
    }

    fn unwatch(&mut self, tasks: &[TaskId], sink: &Sink) {
        for task in tasks {
            if let Some(watched) = self.watched.get_mut(task) {
                if let Some(index) = watched.sinks.iter().position(|other| other.same_channel(sink)) {
                    watched.sinks.swap_remove(index);
                }
                if watched.sinks.is_empty() {
                    self.watched.remove(task);
                }
            }
        }
    }

    fn retry_later(&mut self, now: Instant, id: u64, pause: Duration, trouble: &str) {
        trouble.clone_into(&mut self.trouble);
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.retry_at = Some(now + pause);
            self.set_wake(id);
        }
    }

    /// Passes records on, one message to each sink.
    fn deliver(&mut self, finished: Vec<Finished>) {
        let mut batches: Vec<(Sink, Vec<Finished>)> = Vec::new();
        for (task, record) in finished {
            // Not there: told of on an earlier connection.
            let Some(watched) = self.watched.remove(&task) else { continue };
            for sink in watched.sinks {
                add_to_batch(&mut batches, sink, (task, record.clone()));
            }
        }
        for (sink, batch) in batches {
            // An error means that nobody waits any more.
            let _ = sink.send(batch);
        }
    }

    /// Time has passed: patience ends, repeats are due.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.wakes.first()
            && at <= now
        {
            let deadline = self.pending[&id].deadline();
            if deadline.is_some_and(|deadline| deadline <= now) {
                self.give_up(now, id);
            } else {
                self.send(id);
            }
        }
    }

    fn give_up(&mut self, now: Instant, id: u64) {
        let Some(Purpose::Call(call)) = self.remove(id) else { return };
        if let Some((tasks, sink)) = call.watching {
            self.unwatch(&tasks, &sink);
        }
        let waited = Duration::from_millis(millis(now.saturating_duration_since(call.since)));
        let _ = call.reply.send(Err(Unavailable { waited, trouble: self.trouble.clone() }));
    }
}

impl Pending {
    const fn is_call(&self) -> bool {
        matches!(self.purpose, Purpose::Call(_))
    }

    const fn deadline(&self) -> Option<Instant> {
        match &self.purpose {
            Purpose::Call(call) => Some(call.deadline),
            Purpose::Watch | Purpose::Ping => None,
        }
    }
}

fn add_to_batch(batches: &mut Vec<(Sink, Vec<Finished>)>, sink: Sink, item: (TaskId, Option<Record>)) {
    match batches.iter_mut().find(|(other, _)| other.same_channel(&sink)) {
        Some((_, batch)) => batch.push(item),
        None => batches.push((sink, vec![item])),
    }
}

/// The bug: a submit that is repeated under ids of its own.
#[cfg(feature = "mutants")]
fn rekeyed(message: &Encoded) -> Encoded {
    match decode("message", message) {
        Ok(FromClient::Submit { mut submit, watch }) => {
            let fresh = crate::new_task_ids(submit.items.len());
            for (item, fresh) in submit.items.iter_mut().zip(fresh) {
                item.0 = fresh;
            }
            encode(&FromClient::Submit { submit, watch }).into()
        }
        _ => message.clone(),
    }
}

fn busy_pause(retry_after: Millis) -> Duration {
    Duration::from_millis(retry_after.0.max(1)).min(BUSY_PAUSE_MAX)
}

/// Whole milliseconds, for messages to people.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
