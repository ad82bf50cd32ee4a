//! The client side of Raft's network: openraft's questions become frames on upgraded connections.
//!
//! Three connections per peer, so that none waits for what another carries: entries and votes, heartbeats, snapshots.
//! Entries are pipelined: a few requests travel and are made durable while the first is being answered.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::OptionalSend;
use openraft::base::{BoxFuture, BoxStream};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};

use super::acks::{Acks, Moment};
use super::dial::{Dial, HttpDialer};
use super::link::{Link, LinkError, Waiting};
use super::own::Own;
use super::transfer::{FileInfo, Outgoing, SnapshotFiles, TransferError};
use super::types::{
    AppendError, AppendRequest, AppendResponse, AppendResult, Cancelled, LeaderId, NodeId, Peer, RpcError,
    RpcNetwork, RpcTimeout, RpcUnreachable, SendSnapshotError, Snapshot, SnapshotResponse,
    TransferError as NotTransferred, TransferRequest, TransferResponse, TypeConfig, Vote, VoteRequest,
    VoteResponse,
};
use super::wire::{self, Appended, Installed, Offer, Transfer, Transferred, Voted};
use crate::failpoint::reach;

/// Append requests that may travel to one follower at a time: enough that its disk never waits for the network, few enough
/// that a conflict wastes little. Each carries at most some megabytes.
const APPENDS_IN_FLIGHT: usize = 4;

/// What the network is set up with.
#[derive(Debug, Clone)]
pub struct NetworkSettings {
    /// Who this node is.
    pub own: Arc<Own>,
    /// Name of the cluster.
    pub cluster: String,
    /// What peers show one another, if the cluster asks for it.
    pub token: Option<String>,
    /// Where peers are reached that are not reached where they say.
    pub routes: BTreeMap<NodeId, String>,
    /// Time for a follower to answer an append; it covers a large request and a slow disk.
    pub append_timeout: Duration,
}

/// Makes a [`PeerNetwork`] for every peer and purpose; `S` is the state machine's snapshot.
pub struct Network<S> {
    settings: Arc<NetworkSettings>,
    dialer: Arc<dyn Dial>,
    acks: Arc<Acks>,
    links: HashMap<(NodeId, Lane), (Peer, Arc<Link>)>,
    snapshots: PhantomData<fn() -> S>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    Entries,
    Heartbeats,
    Snapshots,
}

/// The network as seen from one purpose towards one peer.
pub struct PeerNetwork<S> {
    settings: Arc<NetworkSettings>,
    target: NodeId,
    lane: Lane,
    link: Arc<Link>,
    acks: Arc<Acks>,
    snapshots: PhantomData<fn() -> S>,
}

/// An append that was sent: under which leadership, and when.
struct Asked<'a> {
    waiting: Waiting<'a>,
    leader: LeaderId,
    sent: Moment,
}

impl<S> Network<S> {
    /// A network without connections yet. Errors: the HTTP client cannot be set up.
    pub fn new(settings: NetworkSettings) -> Result<Self, reqwest::Error> {
        let dialer = HttpDialer::new(settings.cluster.clone(), settings.token.clone())?;
        Ok(Self::over(settings, Arc::new(dialer)))
    }

    /// The same over other connections than real ones.
    pub fn over(settings: NetworkSettings, dialer: Arc<dyn Dial>) -> Self {
        let (settings, acks, links) = (Arc::new(settings), Arc::default(), HashMap::new());
        Self { settings, dialer, acks, links, snapshots: PhantomData }
    }

    /// Who this node is.
    pub(super) fn own(&self) -> Arc<Own> {
        Arc::clone(&self.settings.own)
    }

    /// What peers have answered.
    pub(super) fn acks(&self) -> Arc<Acks> {
        Arc::clone(&self.acks)
    }

    /// What makes its connections.
    pub(super) fn dialer(&self) -> Arc<dyn Dial> {
        Arc::clone(&self.dialer)
    }

    /// openraft asks anew for every election, so connections are kept here.
    fn client(&mut self, target: NodeId, peer: &Peer, lane: Lane) -> PeerNetwork<S> {
        let place = self.settings.routes.get(&target).unwrap_or(&peer.addr).clone();
        let (own, meant) = (&self.settings.own, Some(peer.incarnation));
        let dial = || {
            let link = Link::new(own, target, meant, place.clone(), Arc::clone(&self.dialer));
            (peer.clone(), Arc::new(link))
        };
        let (known, link) = self.links.entry((target, lane)).or_insert_with(dial);
        if known != peer {
            (*known, *link) = dial();
        }
        let (settings, link, acks) = (Arc::clone(&self.settings), Arc::clone(link), Arc::clone(&self.acks));
        PeerNetwork { settings, target, lane, link, acks, snapshots: PhantomData }
    }
}

impl<S: SnapshotFiles> RaftNetworkFactory<TypeConfig> for Network<S> {
    type Network = PeerNetwork<S>;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> PeerNetwork<S> {
        self.client(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Peer) -> PeerNetwork<S> {
        self.client(target, node, Lane::Heartbeats)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Peer) -> PeerNetwork<S> {
        self.client(target, node, Lane::Snapshots)
    }
}

impl<S: SnapshotFiles> RaftNetworkV2<TypeConfig> for PeerNetwork<S> {
    type SnapshotData = S;

    async fn append_entries(
        &mut self,
        rpc: AppendRequest,
        option: RPCOption,
    ) -> Result<AppendResponse, RpcError> {
        let last = rpc.entries.last().map(openraft::entry::RaftEntry::log_id).or(rpc.prev_log_id);
        let begun = self.begin_append(rpc).await;
        Ok(match self.finish_append(begun, self.append_patience(&option)).await? {
            Ok(matching) if matching == last => AppendResponse::Success,
            Ok(matching) => AppendResponse::PartialSuccess(matching),
            Err(AppendError::Conflict(_)) => AppendResponse::Conflict,
            Err(AppendError::HigherVote(vote)) => AppendResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, I>(
        &'s mut self,
        input: I,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<AppendResult, RpcError>>, RpcError>>
    where
        I: Stream<Item = AppendRequest> + OptionalSend + Unpin + 'static,
    {
        let patience = self.append_patience(&option);
        let this = &*self;
        // Requests are sent one after the other, so that they arrive in order; only the waiting overlaps.
        let begun = input.then(move |request| this.begin_append(request));
        let answers = begun.map(move |begun| this.finish_append(begun, patience)).buffered(APPENDS_IN_FLIGHT);
        let answers: BoxStream<'s, _> = Box::pin(until_refused(answers));
        Box::pin(std::future::ready(Ok(answers)))
    }

    async fn vote(&mut self, rpc: VoteRequest, option: RPCOption) -> Result<VoteResponse, RpcError> {
        self.ask_for_vote(wire::VOTE, rpc, &option).await
    }

    async fn pre_vote(&mut self, rpc: VoteRequest, option: RPCOption) -> Result<VoteResponse, RpcError> {
        self.ask_for_vote(wire::PRE_VOTE, rpc, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<S>,
        cancel: impl Future<Output = Cancelled> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse, SendSnapshotError> {
        let (dir, files) = (snapshot.snapshot.dir().to_owned(), snapshot.snapshot.files());
        let offer = Offer { vote: vote.into(), snapshot: (&snapshot.meta).into(), files: files.clone() };
        let patience = option.soft_ttl();
        // What was begun and not finished must end at the receiver too, however this function is left.
        let unfinished = HangUp(Some(&self.link));
        let sent = tokio::select! {
            biased;
            cancelled = cancel => return Err(cancelled.into()),
            sent = self.send_snapshot(&offer, dir, files, patience) => sent,
        };
        let installed = sent.map_err(|error| self.snapshot_error(error))?;
        unfinished.disarm();
        Ok(SnapshotResponse::new(installed.vote.into()))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferRequest,
        option: RPCOption,
    ) -> Result<TransferResponse, RpcError> {
        let message = Transfer {
            from: (*req.from_leader()).into(),
            to: *req.to_node_id(),
            last: req.last_log_id().copied().map(Into::into),
        };
        let answer = self.link.ask_for(wire::TRANSFER, wire::encode(&message), option.soft_ttl()).await;
        Ok(match answer.map_err(|error| self.rpc_error(error, RPCTypes::TransferLeader))? {
            Transferred::Accepted => Ok(()),
            Transferred::VoteChanged { expected, actual } => {
                Err(NotTransferred::VoteChanged { expected: expected.into(), actual: actual.into() })
            }
            Transferred::NotFlushed { expected, actual } => Err(NotTransferred::LogNotFlushed {
                expected: expected.map(Into::into),
                actual: actual.map(Into::into),
            }),
        })
    }
}

impl<S: SnapshotFiles> PeerNetwork<S> {
    /// A heartbeat that is late is of no use. Entries may take longer than a heartbeat's interval, which is openraft's
    /// limit for both: they carry megabytes to a disk.
    fn append_patience(&self, option: &RPCOption) -> Duration {
        match self.lane {
            Lane::Heartbeats => option.soft_ttl(),
            Lane::Entries | Lane::Snapshots => option.soft_ttl().max(self.settings.append_timeout),
        }
    }

    async fn begin_append(&self, request: AppendRequest) -> Result<Asked<'_>, LinkError> {
        reach("net.before_send_append");
        let (leader, sent) = (request.vote.leader_id, self.acks.now());
        let waiting = self.link.ask(wire::APPEND, wire::encode_append(&request)).await?;
        Ok(Asked { waiting, leader, sent })
    }

    async fn finish_append(
        &self,
        begun: Result<Asked<'_>, LinkError>,
        patience: Duration,
    ) -> Result<AppendResult, RpcError> {
        let answer = async {
            let Asked { mut waiting, leader, sent } = begun?;
            let answer: Appended = waiting.answer(patience).await?;
            if !matches!(answer, Appended::HigherVote(_)) {
                self.acks.note(self.target, leader, sent);
            }
            Ok(answer)
        };
        let answer = answer.await.map_err(|error| self.rpc_error(error, RPCTypes::AppendEntries))?;
        Ok(match answer {
            Appended::Matching(matching) => Ok(matching.map(Into::into)),
            Appended::Conflict(at) => Err(AppendError::Conflict(at.into())),
            Appended::HigherVote(vote) => Err(AppendError::HigherVote(vote.into())),
        })
    }

    async fn ask_for_vote(
        &self,
        kind: u8,
        rpc: VoteRequest,
        option: &RPCOption,
    ) -> Result<VoteResponse, RpcError> {
        let payload = wire::encode(&wire::Ballot::from(&rpc));
        let answer: Result<Voted, LinkError> = self.link.ask_for(kind, payload, option.soft_ttl()).await;
        let voted = answer.map_err(|error| self.rpc_error(error, RPCTypes::Vote))?;
        Ok(VoteResponse::new(Vote::from(voted.vote), voted.last.map(Into::into), voted.granted))
    }

    async fn send_snapshot(
        &self,
        offer: &Offer,
        dir: PathBuf,
        files: Vec<FileInfo>,
        patience: Duration,
    ) -> Result<Installed, SendError> {
        let mut waiting = self.link.ask(wire::SNAPSHOT, wire::encode(offer)).await?;
        let mut outgoing = Outgoing::start(dir, files);
        loop {
            // The receiver may refuse at once, or find damage half-way.
            let chunk = tokio::select! {
                biased;
                answer = waiting.answer_from_now(patience) => return Ok(answer?),
                chunk = outgoing.next() => chunk?,
            };
            let Some(chunk) = chunk else { break };
            waiting.tell(wire::CHUNK, chunk, patience).await?;
        }
        waiting.tell(wire::SNAPSHOT_END, wire::encode(&()), patience).await?;
        Ok(waiting.answer_from_now(patience).await?)
    }

    fn rpc_error(&self, error: LinkError, action: RPCTypes) -> RpcError {
        match error {
            LinkError::Timeout { after, .. } => {
                RpcTimeout { action, id: self.settings.own.node, target: self.target, timeout: after }.into()
            }
            // The connection was there a moment ago: try again at once, and find out.
            LinkError::Lost { .. } => RpcNetwork::from_string(error).into(),
            LinkError::Dial(_)
            | LinkError::Send { .. }
            | LinkError::Remote { .. }
            | LinkError::Wire { .. } => RpcUnreachable::from_string(error).into(),
        }
    }

    fn snapshot_error(&self, error: SendError) -> SendSnapshotError {
        match error {
            SendError::Link(error) => self.rpc_error(error, RPCTypes::InstallSnapshot).into(),
            SendError::Read(error) => RpcUnreachable::from_string(error).into(),
        }
    }
}

/// Why a snapshot was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Read(#[from] TransferError),
}

/// Ends a connection when dropped, unless what was begun on it was finished.
struct HangUp<'a>(Option<&'a Link>);

impl HangUp<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        if let Some(link) = self.0 {
            link.hang_up();
        }
    }
}

/// Ends the stream with its first error or refusal: what was sent behind that is void.
fn until_refused<A>(answers: A) -> impl Stream<Item = Result<AppendResult, RpcError>>
where
    A: Stream<Item = Result<AppendResult, RpcError>>,
{
    futures::stream::unfold(Some(Box::pin(answers)), |answers| async {
        let mut answers = answers?;
        let answer = answers.next().await?;
        let go_on = matches!(answer, Ok(Ok(_)));
        Some((answer, go_on.then_some(answers)))
    })
}
