//! From commands to entries: whatever arrives while an entry is under way forms the next one.
//!
//! Natural batching, no timers: an idle cluster proposes at once, a busy one in large entries. Each entry is encoded once,
//! here, and the acquires of waiting workers ride in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use raftwork_kernel::{Acquire, AcquireWith, Command, Entry, Rejection, Reply, Submit, encode};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::clock::wall_time;
use super::{Reign, Unavailable};
use crate::dispatch::Dispatcher;
use crate::failpoint::reach;
use crate::group::RaftNode;
use crate::raft::types::EntryBytes;

/// Most commands in one entry: bounds the time for which one apply holds up the next.
const COMMANDS_MAX: usize = 512;
/// Most bytes in one entry, unless a single command is larger.
const BYTES_MAX: usize = 1 << 20;
/// Entries under way at once: one is being made durable while the next is being built and sent.
const IN_FLIGHT_MAX: usize = 2;
/// Proposals that may wait. At 512 to an entry they are a few dozen entries, far below a second's worth.
const QUEUE_MAX: usize = 16 * 1024;
/// Bytes of payload that may wait or be under way: what a leader may owe its memory to its clients.
const QUEUE_BYTES_MAX: usize = 256 << 20;
/// Most bytes of one proposal. It must fit a frame between nodes, or no follower could ever take it.
const PROPOSAL_BYTES_MAX: usize = 48 << 20;
/// Unit in which bytes are counted: fine enough, and the whole budget is a number that a semaphore takes.
const BYTES_PER_UNIT: usize = 1 << 10;
/// How long a proposal may take before its outcome is called unknown.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long workers' wants wait after an entry was refused. A leader that hears no majority refuses at once, and would be
/// asked again at once, for seconds: the wants ride in whatever comes.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);
/// How soon a caller that was turned away may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What to do with the replies.
type Then = Box<dyn FnOnce(Result<Vec<Reply>, Unavailable>) + Send>;

/// Commands that belong together in one entry, and what to do with their replies.
pub(crate) struct Proposal {
    commands: Vec<Command>,
    bytes: usize,
    then: Then,
}

impl Proposal {
    pub(crate) fn new(
        commands: Vec<Command>,
        then: impl FnOnce(Result<Vec<Reply>, Unavailable>) + Send + 'static,
    ) -> Self {
        Self { bytes: commands.iter().map(weight).sum(), commands, then: Box::new(then) }
    }

    /// Refuses what no entry could carry; `None` says that it has been refused.
    fn unless_too_large(self) -> Option<Self> {
        if self.bytes <= PROPOSAL_BYTES_MAX {
            return Some(self);
        }
        let rejection = Rejection::OverLimit {
            what: "the size of one request".to_owned(),
            got: self.bytes as u64,
            limit: PROPOSAL_BYTES_MAX as u64,
        };
        (self.then)(Ok(vec![Err(rejection); self.commands.len()]));
        None
    }

    fn units(&self) -> u32 {
        u32::try_from(self.bytes / BYTES_PER_UNIT + 1).expect("bounded by PROPOSAL_BYTES_MAX")
    }

    /// Holds its share of the budget until its replies are handed out.
    fn holding(self, share: OwnedSemaphorePermit) -> Self {
        let then = self.then;
        let then = move |replies| {
            drop(share);
            then(replies);
        };
        Self { then: Box::new(then), ..self }
    }
}

/// The queue of proposals; a clone is another handle on it.
#[derive(Clone)]
pub(crate) struct Proposals {
    queue: mpsc::Sender<Proposal>,
    signal: Arc<Signal>,
    budget: Arc<Semaphore>,
}

/// Reasons to look for work although no proposal came.
#[derive(Default)]
struct Signal {
    wake: Notify,
    /// Log time must move on, if by an empty entry.
    tick: AtomicBool,
}

/// Counts for `/metrics`.
#[derive(Debug, Default)]
pub struct ProposalCounters {
    /// Entries proposed.
    pub entries: AtomicU64,
    /// Commands in them.
    pub commands: AtomicU64,
    /// Bytes of them.
    pub bytes: AtomicU64,
}

/// The other end of the queue.
pub(crate) struct Queue {
    proposals: mpsc::Receiver<Proposal>,
    signal: Arc<Signal>,
}

impl Proposals {
    pub(crate) fn new() -> (Self, Queue) {
        let (queue, proposals) = mpsc::channel(QUEUE_MAX);
        let signal = Arc::<Signal>::default();
        let budget = Arc::new(Semaphore::new(QUEUE_BYTES_MAX / BYTES_PER_UNIT));
        (Self { queue, signal: Arc::clone(&signal), budget }, Queue { proposals, signal })
    }

    /// Proposes commands and waits for their replies. Waits for a place in the queue.
    pub(crate) async fn propose(&self, commands: Vec<Command>) -> Result<Vec<Reply>, Unavailable> {
        let (proposal, replies) = Self::call(commands);
        self.enqueue(proposal).await;
        Self::wait(replies).await
    }

    /// As [`Self::propose`], but turns the caller away when the queue is full.
    pub(crate) async fn try_propose(&self, commands: Vec<Command>) -> Result<Vec<Reply>, Unavailable> {
        let busy = Unavailable::Busy { retry_after: RETRY_AFTER };
        let (proposal, replies) = Self::call(commands);
        if let Some(proposal) = proposal.unless_too_large() {
            let share = Arc::clone(&self.budget).try_acquire_many_owned(proposal.units());
            let share = share.map_err(|_| busy.clone())?;
            self.queue.try_send(proposal.holding(share)).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => busy,
                mpsc::error::TrySendError::Closed(_) => Unavailable::Stopping,
            })?;
        }
        Self::wait(replies).await
    }

    /// Queues a proposal, waiting for a place.
    pub(crate) async fn enqueue(&self, proposal: Proposal) {
        let Some(proposal) = proposal.unless_too_large() else { return };
        let share = Arc::clone(&self.budget).acquire_many_owned(proposal.units()).await;
        let share = share.expect("the semaphore is never closed");
        if let Err(mpsc::error::SendError(proposal)) = self.queue.send(proposal.holding(share)).await {
            (proposal.then)(Err(Unavailable::Stopping));
        }
    }

    /// Workers want tasks: see whether there is an entry to make for them.
    pub(crate) fn wake(&self) {
        self.signal.wake.notify_one();
    }

    /// Time alone will change something: make an entry, if an empty one.
    pub(crate) fn tick(&self) {
        self.signal.tick.store(true, Ordering::Relaxed);
        self.signal.wake.notify_one();
    }

    fn call(commands: Vec<Command>) -> (Proposal, oneshot::Receiver<Result<Vec<Reply>, Unavailable>>) {
        let (answer, replies) = oneshot::channel();
        // Whoever asked may have gone; the commands are carried out all the same.
        let then = move |replies| drop(answer.send(replies));
        (Proposal::new(commands, then), replies)
    }

    async fn wait(
        replies: oneshot::Receiver<Result<Vec<Reply>, Unavailable>>,
    ) -> Result<Vec<Reply>, Unavailable> {
        match tokio::time::timeout(ANSWER_WITHIN, replies).await {
            Ok(Ok(replies)) => replies,
            Ok(Err(_)) => Err(Unavailable::Stopping),
            Err(_) => {
                Err(Unavailable::Unknown { reason: format!("no majority answered within {ANSWER_WITHIN:?}") })
            }
        }
    }
}

/// Everything that building and proposing entries needs.
pub(crate) struct Coalescer {
    pub(crate) queue: Queue,
    pub(crate) raft: RaftNode,
    pub(crate) reign: Reign,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) counters: Arc<ProposalCounters>,
}

/// The parts of one entry, in the order of its commands.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    bytes: usize,
    /// How many of the commands belong to each proposal, and what to do with their replies.
    proposals: Vec<(usize, Then)>,
    acquires: Vec<Acquire>,
}

impl Coalescer {
    /// Makes entries until every handle on the queue is gone.
    pub(crate) async fn run(mut self) {
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        loop {
            let permit = Arc::clone(&in_flight).acquire_owned().await.expect("the semaphore is never closed");
            let Some(batch) = self.next_batch().await else { return };
            self.propose(batch, permit).await;
        }
    }

    /// Waits for something to do and takes all there is, up to the bounds. `None`: the queue is closed.
    async fn next_batch(&mut self) -> Option<Batch> {
        loop {
            let mut batch = Batch::default();
            tokio::select! {
                biased;
                first = self.queue.proposals.recv() => batch.add(first?),
                () = self.queue.signal.wake.notified() => {}
            }
            while batch.has_room()
                && let Ok(proposal) = self.queue.proposals.try_recv()
            {
                batch.add(proposal);
            }
            if !self.reign.leads() {
                batch.refuse(&self.reign.unavailable());
                continue;
            }
            batch.ride(self.dispatcher.ride(&batch.commands));
            let tick = self.queue.signal.tick.swap(false, Ordering::Relaxed);
            if tick || !batch.commands.is_empty() {
                return Some(batch);
            }
        }
    }

    /// Stamps and begins an entry before the next one is stamped: log time never goes back, in the log either.
    async fn propose(&self, batch: Batch, permit: OwnedSemaphorePermit) {
        let Some(clock) = self.reign.clock() else {
            self.abandon_acquires(&batch.acquires);
            return batch.refuse(&self.reign.unavailable());
        };
        let Batch { commands, proposals, acquires, .. } = batch;
        let count = commands.len() as u64;
        let entry = Entry { log_time: clock.now(), wall_time: wall_time(), commands };
        let bytes = bytes::Bytes::from(encode(&entry));
        self.counters.entries.fetch_add(1, Ordering::Relaxed);
        self.counters.commands.fetch_add(count, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let begun = self.raft.begin(EntryBytes(bytes)).await;
        reach("propose.after_enqueue");
        let (dispatcher, signal) = (self.dispatcher.clone(), Arc::clone(&self.queue.signal));
        tokio::spawn(async move {
            let outcome = RaftNode::commit(begun).await;
            drop(permit);
            let refused = outcome.is_err();
            settle(outcome, proposals, &acquires, &dispatcher);
            if refused {
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
            // What became ready by time or failure, and found no acquire in this entry, finds one in the next.
            signal.wake.notify_one();
        });
    }

    fn abandon_acquires(&self, acquires: &[Acquire]) {
        for acquire in acquires {
            self.dispatcher.settle(acquire, None);
        }
    }
}

/// Hands every reply to whom it belongs; grants first, for workers wait for them with idle hands.
fn settle(
    outcome: Result<Vec<Reply>, Unavailable>,
    proposals: Vec<(usize, Then)>,
    acquires: &[Acquire],
    dispatcher: &Dispatcher,
) {
    reach("reply.before_send");
    let mut replies = match outcome {
        Ok(replies) => replies,
        Err(unavailable) => {
            for acquire in acquires {
                dispatcher.settle(acquire, None);
            }
            for (_, then) in proposals {
                then(Err(unavailable.clone()));
            }
            return;
        }
    };
    let granted = replies.split_off(replies.len() - acquires.len());
    for (acquire, reply) in acquires.iter().zip(&granted) {
        dispatcher.settle(acquire, Some(reply));
    }
    let mut replies = replies.into_iter();
    for (count, then) in proposals {
        then(Ok(replies.by_ref().take(count).collect()));
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        self.commands.len() < COMMANDS_MAX && self.bytes < BYTES_MAX
    }

    fn add(&mut self, proposal: Proposal) {
        self.bytes += proposal.bytes;
        self.proposals.push((proposal.commands.len(), proposal.then));
        self.commands.extend(proposal.commands);
    }

    fn ride(&mut self, riders: Vec<AcquireWith>) {
        for with in riders {
            self.acquires.push(with.acquire.clone());
            self.commands.push(if with.tags.is_empty() {
                Command::Acquire(with.acquire)
            } else {
                Command::AcquireWith(with)
            });
        }
    }

    fn refuse(self, unavailable: &Unavailable) {
        for (_, then) in self.proposals {
            then(Err(unavailable.clone()));
        }
    }
}

/// About how many bytes a command adds to an entry.
fn weight(command: &Command) -> usize {
    /// Ids, lengths and options.
    const OVERHEAD: usize = 64;
    /// Rules and tags.
    const RULES: usize = 256;
    let payload = match command {
        Command::Register(command) => command.code.len(),
        Command::Submit(command) => weight_of_items(command),
        Command::SubmitUnder(command) => RULES + weight_of_items(&command.submit),
        Command::AcquireWith(_)
        | Command::Map(_)
        | Command::SetLimit(_)
        | Command::ChangeSchedule(_)
        | Command::Trigger(_) => RULES,
        Command::PutSchedule(command) => 3 * RULES + command.spec.args.len(),
        Command::Fire(command) => command.firings.iter().map(|firing| RULES + firing.nominal.len() * 8).sum(),
        Command::Complete(command) => {
            command.result.len() + command.output.stdout.len() + command.output.stderr.len()
        }
        Command::StorePart(command) => command.bytes.len(),
        Command::CompleteInParts(command) => command.output.stdout.len() + command.output.stderr.len(),
        Command::Fail(command) => {
            let exception = command.error.exception.as_ref().map_or(0, bytes::Bytes::len);
            let bases: usize = command.bases.iter().map(String::len).sum();
            bases
                + command.error.traceback.len()
                + exception
                + command.output.stdout.len()
                + command.output.stderr.len()
        }
        Command::Expire(command) => command.leases.len() * 32,
        Command::Forget(command) => command.tasks.len() * 17,
        Command::Store(command) => command.piece.bytes() + command.piece.0.len() * 16,
        Command::Acquire(_)
        | Command::Extend(_)
        | Command::Release(_)
        | Command::Cancel(_)
        | Command::CancelMap(_)
        | Command::Redrive(_) => 0,
    };
    OVERHEAD + payload
}

fn weight_of_items(command: &Submit) -> usize {
    command.items.iter().map(|(_, args)| args.len() + 24).sum()
}

const _: () =
    assert!(PROPOSAL_BYTES_MAX < raftwork_api::frame::PAYLOAD_BYTES_MAX, "an entry must fit a frame");
const _: () = assert!(PROPOSAL_BYTES_MAX < QUEUE_BYTES_MAX, "the largest proposal must fit the queue");

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raftwork_kernel::{FunctionId, TaskId, TaskOptions};

    use super::*;

    fn submit(bytes: usize) -> Vec<Command> {
        vec![Command::Submit(Submit {
            function: FunctionId::from_u128(1),
            options: TaskOptions::default(),
            items: vec![(TaskId::from_u128(1), Bytes::from(vec![0; bytes]))],
        })]
    }

    #[tokio::test]
    async fn what_no_follower_could_take_is_refused_at_once() {
        let (proposals, _queue) = Proposals::new();
        for replies in [
            proposals.propose(submit(PROPOSAL_BYTES_MAX)).await,
            proposals.try_propose(submit(PROPOSAL_BYTES_MAX)).await,
        ] {
            assert!(matches!(replies.as_deref(), Ok([Err(Rejection::OverLimit { .. })])), "{replies:?}");
        }
    }

    #[tokio::test]
    async fn waiting_bytes_are_bounded_and_come_back_with_the_replies() {
        let (proposals, mut queue) = Proposals::new();
        let large = PROPOSAL_BYTES_MAX - 1024;
        let fitting = QUEUE_BYTES_MAX / large;
        let waiting: Vec<_> = (0..fitting)
            .map(|_| {
                let proposals = proposals.clone();
                tokio::spawn(async move { proposals.try_propose(submit(large)).await })
            })
            .collect();
        let mut queued = Vec::new();
        for _ in 0..fitting {
            queued.push(queue.proposals.recv().await.expect("it was queued"));
        }
        assert!(matches!(proposals.try_propose(submit(large)).await, Err(Unavailable::Busy { .. })));
        for proposal in queued {
            (proposal.then)(Err(Unavailable::NoLeader));
        }
        for outcome in waiting {
            assert_eq!(outcome.await.expect("it does not panic"), Err(Unavailable::NoLeader));
        }
        assert_eq!(proposals.budget.available_permits(), QUEUE_BYTES_MAX / BYTES_PER_UNIT);
    }
}
