//! The server side of Raft's network: frames of an upgraded connection become questions to [`Raft`].
//!
//! Whoever accepts the connection has checked who calls ([`super::hello`]) and upgraded it; this module takes any
//! byte stream. It must not decide anything: Raft does.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver;
use raftwork_api::frame::{self, Frame, FrameError, FrameWriter};
use raftwork_kernel::mutants::mutant;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::blocking::blocking;
use super::dial::Dial;
use super::handle::RaftHandle;
use super::leadership::LeadershipWatch;
use super::own::Own;
use super::transfer::{self, Incoming, Machine, SnapshotFiles};
use super::types::{
    AppendError, AppendRequest, AppendResult, Fatal, Membership, NodeId, Raft, Snapshot, SnapshotMeta,
    TransferError, TransferRequest, Vote, VoteRequest,
};
use super::vigil;
use super::wire::{
    self, ANSWER, APPEND, Answer, Appended, Ballot, CHUNK, IS_GONE, Installed, MEET, Meet, Met, Offer,
    PRE_VOTE, SNAPSHOT, SNAPSHOT_END, TRANSFER, Transfer, Transferred, VOTE, Voted, WireError,
};
use crate::failpoint::reach;

/// Requests that may wait between the connection and Raft, which has a queue of its own.
const APPENDS_WAITING: usize = 1;
/// Votes and the like that may be under way on one connection; a peer has one or two at a time.
const TASKS_MAX: usize = 16;

/// Why a peer's connection ended before the peer ended it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The connection failed, or what came over it is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that means nothing.
    #[error("a peer's message means nothing: {0}")]
    Wire(#[from] WireError),
    /// Raft has ended, or is about to.
    #[error("raft has ended")]
    Ended,
    /// It means another node, or is another than it says.
    #[error("a peer is not answered: {0}")]
    Refused(String),
}

/// Answers peers; a clone answers for the same node.
pub struct PeerServer<SM: Machine> {
    raft: Raft<SM>,
    own: Arc<Own>,
    /// To find out whether a leader is gone, when another follower asks.
    dialer: Arc<dyn Dial>,
    snapshots: Arc<PathBuf>,
}

impl<SM: Machine> Clone for PeerServer<SM> {
    fn clone(&self) -> Self {
        let (raft, own, dialer) = (self.raft.clone(), Arc::clone(&self.own), Arc::clone(&self.dialer));
        Self { raft, own, dialer, snapshots: Arc::clone(&self.snapshots) }
    }
}

impl<SM: Machine> PeerServer<SM> {
    /// A server that receives snapshots into folders under `snapshots`, on the file system of the state machine.
    pub fn new(handle: &RaftHandle<SM>, snapshots: PathBuf) -> Self {
        let (raft, own) = (handle.raft().clone(), Arc::clone(handle.own()));
        Self { raft, own, dialer: handle.dialer(), snapshots: Arc::new(snapshots) }
    }

    /// Serves one peer's connection until it ends, or Raft does. Runs on Raft's own runtime.
    pub async fn serve<S>(&self, stream: S) -> Result<(), ServeError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut frames, writer) = frame::split(stream);
        let appends = Appends { raft: self.raft.clone(), writer: writer.clone(), session: Arc::default() };
        let refusal = Some("it has not said whom it means".to_owned());
        let mut peer = Peer { server: self, writer, appends, refusal, incoming: None, tasks: JoinSet::new() };
        let mut stopped = pin!(self.stopped());
        loop {
            let frame = tokio::select! {
                biased;
                () = &mut stopped => return Ok(()),
                frame = frames.next() => frame?,
            };
            let Some(frame) = frame else { return Ok(()) };
            peer.handle(frame).await?;
        }
    }

    /// Resolves when Raft has ended: a peer does better to find nobody than somebody who answers nothing.
    async fn stopped(&self) {
        LeadershipWatch::new(self.raft.server_metrics()).ended().await;
    }

    async fn vote(&self, request: VoteRequest, pre_vote: bool) -> Answer<Voted> {
        let response =
            if pre_vote { self.raft.pre_vote(request).await } else { self.raft.vote(request).await };
        let response = response.map_err(|error| error.to_string())?;
        let last = response.last_log_id.map(Into::into);
        Ok(Voted { vote: response.vote.into(), granted: response.vote_granted, last })
    }

    async fn transfer(&self, message: Transfer) -> Answer<Transferred> {
        let request = TransferRequest::new(message.from.into(), message.to, message.last.map(Into::into));
        let response = self.raft.handle_transfer_leader(request).await.map_err(|error| error.to_string())?;
        Ok(match response {
            Ok(()) => Transferred::Accepted,
            Err(TransferError::VoteChanged { expected, actual }) => {
                Transferred::VoteChanged { expected: expected.into(), actual: actual.into() }
            }
            Err(TransferError::LogNotFlushed { expected, actual }) => {
                Transferred::NotFlushed { expected: expected.map(Into::into), actual: actual.map(Into::into) }
            }
        })
    }

    /// Waits for the files, and hands them to Raft.
    async fn install(&self, offer: Offer, incoming: Incoming) -> Answer<Installed> {
        let dir = incoming.finish().await.map_err(|error| error.to_string())?;
        let installed = self.install_from(offer, dir.clone()).await;
        if installed.is_err() {
            transfer::remove(&dir);
        }
        installed
    }

    async fn install_from(&self, offer: Offer, dir: PathBuf) -> Answer<Installed> {
        let meta: SnapshotMeta =
            offer.snapshot.try_into().map_err(|error| format!("a snapshot's description: {error}"))?;
        let taken = {
            let meta = meta.clone();
            blocking(move || SM::SnapshotData::received(dir, &meta, offer.files)).await
        };
        let snapshot = taken.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let installed = self.raft.install_full_snapshot(offer.vote.into(), Snapshot { meta, snapshot }).await;
        Ok(Installed { vote: installed.map_err(|error| error.to_string())?.vote.into() })
    }

    async fn introduce(&self, meet: &Meet) -> Answer<Met> {
        let founded = self.raft.is_initialized().await.map_err(|error| error.to_string())?;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let committed = &metrics.committed_membership_config;
        Ok(Met {
            incarnation: self.own.incarnation,
            founded,
            founders: self.own.founders.clone(),
            members_at: committed.log_id().as_ref().copied().map(Into::into),
            you: incarnation_of(committed.membership(), meet.from),
        })
    }

    /// Why the caller is not answered, if it is not.
    fn refusal(&self, meet: &Meet) -> Option<String> {
        let metrics = self.raft.server_metrics();
        let known = incarnation_of(metrics.borrow_watched().membership_config.membership(), meet.from);
        let nobody = || meet.meant.is_none().then(|| "it has not said whom it means".to_owned());
        self.own.refusal(meet, known).or_else(nobody)
    }

    async fn current_vote(&self) -> Answer<Vote> {
        self.raft.with_raft_state(|state| *state.vote_ref()).await.map_err(|error| error.to_string())
    }
}

/// One connection's state.
struct Peer<'a, SM: Machine> {
    server: &'a PeerServer<SM>,
    writer: FrameWriter,
    appends: Appends<SM>,
    /// Why nothing is answered here but who this node is.
    refusal: Option<String>,
    /// The snapshot that is being received, and the id that it began with.
    incoming: Option<(u64, Offer, Incoming)>,
    /// What is being answered beside the reading; ends with the connection.
    tasks: JoinSet<()>,
}

impl<SM: Machine> Peer<'_, SM> {
    async fn handle(&mut self, Frame { id, kind, payload }: Frame) -> Result<(), ServeError> {
        if kind != MEET
            && let Some(refusal) = &self.refusal
        {
            reply::<()>(&self.writer, id, &Err(refusal.clone())).await;
            return Err(ServeError::Refused(refusal.clone()));
        }
        match kind {
            MEET => {
                let meet = wire::decode::<Meet>(&payload)?;
                self.refusal = self.server.refusal(&meet);
                self.answer(id, move |server| async move { server.introduce(&meet).await }).await;
            }
            APPEND => {
                self.server.own.hear();
                reach("net.after_recv_append");
                self.appends.push(id, wire::decode_append(payload)?).await?;
            }
            VOTE | PRE_VOTE => {
                let request = VoteRequest::from(wire::decode::<Ballot>(&payload)?);
                self.answer(id, move |server| async move { server.vote(request, kind == PRE_VOTE).await })
                    .await;
            }
            TRANSFER => {
                let message = wire::decode(&payload)?;
                self.answer(id, move |server| async move { server.transfer(message).await }).await;
            }
            IS_GONE => {
                let question = wire::decode(&payload)?;
                self.answer(id, move |server| async move {
                    vigil::testify(&server.raft, server.dialer.as_ref(), question).await
                })
                .await;
            }
            SNAPSHOT => self.begin_snapshot(id, wire::decode(&payload)?).await,
            CHUNK => self.continue_snapshot(id, payload).await,
            SNAPSHOT_END => self.end_snapshot(id).await,
            _ => return Err(WireError::Kind(kind).into()),
        }
        Ok(())
    }

    /// Answers beside the reading of further frames.
    async fn answer<T, F>(&mut self, id: u64, answer: impl FnOnce(PeerServer<SM>) -> F)
    where
        T: Serialize + Send + Sync + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= TASKS_MAX {
            self.tasks.join_next().await;
        }
        let (writer, answer) = (self.writer.clone(), answer(self.server.clone()));
        self.tasks.spawn(async move { reply(&writer, id, &answer.await).await });
    }

    async fn begin_snapshot(&mut self, id: u64, offer: Offer) {
        let current = self.server.current_vote().await;
        match current {
            // It would be refused in the end; spare both the bytes.
            Ok(vote) if vote > offer.vote.into() => {
                reply(&self.writer, id, &Ok(Installed { vote: vote.into() })).await;
            }
            Ok(_) => {
                let incoming = Incoming::start(&self.server.snapshots, offer.files.clone());
                self.incoming = Some((id, offer, incoming));
            }
            Err(error) => reply::<Installed>(&self.writer, id, &Err(error)).await,
        }
    }

    /// Chunks of a snapshot that was refused are still on their way, and mean nothing any more.
    async fn continue_snapshot(&mut self, id: u64, payload: Bytes) {
        let wanted = match &self.incoming {
            Some((current, _, incoming)) if *current == id => incoming.chunk(payload).await,
            Some(_) | None => return,
        };
        if !wanted {
            self.end_snapshot(id).await;
        }
    }

    async fn end_snapshot(&mut self, id: u64) {
        if let Some((_, offer, incoming)) = self.incoming.take_if(|(current, ..)| *current == id) {
            self.answer(id, move |server| async move { server.install(offer, incoming).await }).await;
        }
    }
}

/// The appends of one connection: given to Raft in order without waiting for answers, and answered in order.
///
/// openraft's stream ends with the first refusal. Whatever the leader had sent behind it is void and gets no answer; the
/// next append opens a new session.
struct Appends<SM: Machine> {
    raft: Raft<SM>,
    writer: FrameWriter,
    session: Arc<Mutex<Session>>,
}

/// Where the appends of the current session go; `None` between two.
type Session = Option<mpsc::Sender<(u64, AppendRequest)>>;

impl<SM: Machine> Appends<SM> {
    async fn push(&self, id: u64, request: AppendRequest) -> Result<(), ServeError> {
        if mutant("M22") {
            let last = request.entries.last().map(openraft::entry::RaftEntry::log_id).or(request.prev_log_id);
            reply(&self.writer, id, &Ok(Appended::Matching(last.map(Into::into)))).await;
        }
        let mut append = (id, request);
        // A session may end between the two lines below. The next one is new, and ends before its first append only with Raft.
        for _ in 0..2 {
            let session = self.current();
            match session.send(append).await {
                Ok(()) => return Ok(()),
                Err(mpsc::error::SendError(unsent)) => append = unsent,
            }
            lock(&self.session).take_if(|current| current.same_channel(&session));
        }
        Err(ServeError::Ended)
    }

    fn current(&self) -> mpsc::Sender<(u64, AppendRequest)> {
        let mut current = lock(&self.session);
        current.get_or_insert_with(|| self.start()).clone()
    }

    fn start(&self) -> mpsc::Sender<(u64, AppendRequest)> {
        let (sender, receiver) = mpsc::channel(APPENDS_WAITING);
        let ids = Arc::new(Mutex::new(VecDeque::new()));
        let results = self.raft.stream_append(requests(receiver, Arc::clone(&ids)));
        // Weak: the session ends, and this task with it, when the connection does.
        let (writer, session, own) = (self.writer.clone(), Arc::downgrade(&self.session), sender.downgrade());
        tokio::spawn(async move {
            let mut results = pin!(results);
            while let Some(result) = results.next().await {
                let id = lock(&ids).pop_front().expect("an id is noted before its request is passed on");
                if !matches!(result, Ok(Ok(_))) {
                    // Before the answer: what the leader sends on hearing it belongs to the next session.
                    if let Some((session, own)) = session.upgrade().zip(own.upgrade()) {
                        lock(&session).take_if(|current| current.same_channel(&own));
                    }
                }
                reply(&writer, id, &appended(result)).await;
            }
        });
        sender
    }
}

/// The requests of a session; notes the id of each that is passed on.
fn requests(
    receiver: mpsc::Receiver<(u64, AppendRequest)>,
    ids: Arc<Mutex<VecDeque<u64>>>,
) -> impl Stream<Item = AppendRequest> + Send + 'static {
    futures::stream::unfold((receiver, ids), |(mut receiver, ids)| async {
        let (id, request) = receiver.recv().await?;
        lock(&ids).push_back(id);
        Some((request, (receiver, ids)))
    })
}

fn appended(result: Result<AppendResult, Fatal>) -> Answer<Appended> {
    Ok(match result.map_err(|fatal| fatal.to_string())? {
        Ok(matching) => Appended::Matching(matching.map(Into::into)),
        Err(AppendError::Conflict(at)) => Appended::Conflict(at.into()),
        Err(AppendError::HigherVote(vote)) => Appended::HigherVote(vote.into()),
    })
}

async fn reply<T: Serialize>(writer: &FrameWriter, id: u64, answer: &Answer<T>) {
    if let Err(error) = writer.send(Frame { id, kind: ANSWER, payload: wire::encode(answer) }).await {
        tracing::debug!(%error, "a peer went before it was answered");
    }
}

/// The incarnation of a node, if it is a member.
fn incarnation_of(membership: &Membership, node: NodeId) -> Option<Uuid> {
    membership.get_node(&node).map(|peer| peer.incarnation)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on an append to `raft`, over no connection, as the first of a session.
#[cfg(test)]
pub(super) async fn append_alone<SM: Machine>(
    raft: Raft<SM>,
    request: AppendRequest,
) -> Result<(), ServeError> {
    let (_, writer) = frame::split(tokio::io::empty());
    Appends { raft, writer, session: Arc::default() }.push(0, request).await
}
