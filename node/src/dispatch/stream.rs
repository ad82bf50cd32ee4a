//! One worker's stream, from its hello to its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raftwork_api::frame::{self, Frame, FrameError, FrameReader, FrameWriter};
use raftwork_api::stream::{Ending, FromWorker, Hello, MESSAGE, ToWorker};
use raftwork_kernel::{Command, DecodeError, LeaseRef, Millis, WorkerId, decode};
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf};

use super::beats::{Answer, Beat};
use super::{Dispatcher, Leadership, Proposal, send};

/// How long a connection may take to say who it is.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may wait for an election that is under way.
const LEADER_WITHIN: Duration = Duration::from_secs(1);
/// How long the last words to a worker may take.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Why a worker's stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the worker did not say who it is")]
    NoHello,
    #[error("the worker sent a frame of kind {0}")]
    Kind(u8),
    #[error("the worker sent what is no message: {0}")]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the worker said hello twice")]
    HelloTwice,
    #[error("the worker offers what nobody can need: {0}")]
    Offer(String),
}

/// A worker that has been taken in.
struct Connected {
    worker: WorkerId,
    outbox: FrameWriter,
}

impl Dispatcher {
    /// Serves one worker until it goes, misbehaves, or this node leads no more.
    pub async fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut reader, outbox) = frame::split(stream);
        if let Err(error) = self.serve_frames(&mut reader, &outbox).await {
            tracing::warn!(%error, "a worker's stream ended");
        }
    }

    async fn serve_frames<S: AsyncRead>(
        &self,
        reader: &mut FrameReader<ReadHalf<S>>,
        outbox: &FrameWriter,
    ) -> Result<(), StreamError> {
        let hello = first(reader).await?;
        if let Leadership::Follower { leader } = self.inner.reign.settled(LEADER_WITHIN).await {
            send(outbox, &ToWorker::NotLeader { leader: leader.map(|leader| leader.url) });
            linger(reader).await;
            return Ok(());
        }
        let connection = next_connection();
        let connected = Connected { worker: hello.worker, outbox: outbox.clone() };
        self.welcome(&hello, connection, &connected).await;
        let ended = self.converse(reader, &connected).await;
        self.roster().disconnect(hello.worker, connection);
        tracing::info!(worker = %hello.worker, name = hello.name, "worker disconnected");
        ended
    }

    async fn welcome(&self, hello: &Hello, connection: u64, connected: &Connected) {
        let lost = self.inner.replica.lost(hello.held.iter().map(|(lease, _)| lease));
        let live: Vec<_> = hello.held.iter().filter(|(lease, _)| !lost.contains(lease)).copied().collect();
        let timings = self.inner.timings;
        let welcome = ToWorker::Welcome { ttl: millis(timings.ttl), heartbeat: millis(timings.heartbeat) };
        send(&connected.outbox, &welcome);
        if !lost.is_empty() {
            send(&connected.outbox, &ToWorker::Revoke(lost));
        }
        let unheard_of =
            self.roster().hello(Instant::now(), hello, &live, connection, connected.outbox.clone());
        tracing::info!(
            worker = %hello.worker, name = hello.name, python = %hello.python, slots = hello.slots,
            mode = ?hello.mode, held = live.len(), "worker connected"
        );
        self.expire(unheard_of).await;
        self.inner.proposals.wake();
    }

    async fn converse<S: AsyncRead>(
        &self,
        reader: &mut FrameReader<ReadHalf<S>>,
        connected: &Connected,
    ) -> Result<(), StreamError> {
        let mut members = self.inner.reign.members();
        // The first thing that a worker is told once it is welcome.
        members.mark_changed();
        loop {
            let frame = tokio::select! {
                frame = reader.next() => frame?,
                Ok(()) = members.changed() => {
                    let urls = members.borrow_and_update().clone();
                    send(&connected.outbox, &ToWorker::Members(urls));
                    continue;
                }
                () = self.inner.reign.ended() => {
                    linger(reader).await;
                    return Ok(());
                }
            };
            let Some(frame) = frame else { return Ok(()) };
            self.handle(message(&frame)?, connected).await?;
        }
    }

    async fn handle(&self, message: FromWorker, from: &Connected) -> Result<(), StreamError> {
        let now = Instant::now();
        match message {
            FromWorker::Hello(_) => return Err(StreamError::HelloTwice),
            FromWorker::Ask { request, max } => {
                self.roster().ask(now, from.worker, request, max);
                self.inner.proposals.wake();
            }
            FromWorker::Report { started, ended } => self.report(now, &started, ended, from).await,
            FromWorker::Capacity(capacity) => {
                if self.roster().capacity(now, from.worker, capacity) {
                    self.inner.proposals.wake();
                }
            }
            FromWorker::Offer(tags) => {
                tags.check().map_err(StreamError::Offer)?;
                self.roster().offer(now, from.worker, tags);
                self.inner.proposals.wake();
            }
            FromWorker::Heartbeat { number, held, draining } => {
                self.note_beat(from.worker, &held, Some(draining));
                let held = held.into_iter().map(|(lease, _)| lease).collect();
                let beat = Beat { held, answer: Answer::Stream(from.outbox.clone(), number) };
                // A full queue means that no quorum confirms: an unanswered beat says just that.
                let _ = self.inner.beats.try_send(beat);
            }
            FromWorker::Progress(news) => self.roster().progress(now, from.worker, news),
            FromWorker::FetchCode(function) => {
                let code = self.inner.replica.rows().code(&function);
                send(&from.outbox, &ToWorker::Code { function, code });
            }
        }
        Ok(())
    }

    /// Proposes what has ended. Its slots are free at once, so that the next grants can ride in the same entry.
    async fn report(&self, now: Instant, started: &[LeaseRef], ended: Vec<Ending>, from: &Connected) {
        let leases: Vec<LeaseRef> = ended.iter().map(Ending::lease).collect();
        self.roster().report(now, from.worker, started, &leases);
        if ended.is_empty() {
            return;
        }
        let outbox = from.outbox.clone();
        let commands = ended.into_iter().map(command).collect();
        let verdict = Proposal::new(commands, move |replies| match replies {
            Ok(replies) => send(&outbox, &ToWorker::Verdicts(leases.into_iter().zip(replies).collect())),
            // The outcome is unknown here: the worker repeats the report to whoever leads.
            Err(error) => send(&outbox, &ToWorker::NotLeader { leader: error.leader_url() }),
        });
        self.inner.proposals.enqueue(verdict).await;
    }
}

async fn first<S: AsyncRead>(reader: &mut FrameReader<ReadHalf<S>>) -> Result<Hello, StreamError> {
    let frame =
        tokio::time::timeout(HELLO_WITHIN, reader.next()).await.map_err(|_| StreamError::NoHello)??;
    match message(&frame.ok_or(StreamError::NoHello)?)? {
        FromWorker::Hello(hello) => Ok(hello),
        FromWorker::Ask { .. }
        | FromWorker::Report { .. }
        | FromWorker::Capacity(_)
        | FromWorker::Offer(_)
        | FromWorker::Heartbeat { .. }
        | FromWorker::Progress(_)
        | FromWorker::FetchCode(_) => Err(StreamError::NoHello),
    }
}

fn command(ending: Ending) -> Command {
    match ending {
        Ending::Complete(complete) => Command::Complete(complete),
        Ending::CompleteInParts(complete) => Command::CompleteInParts(complete),
        Ending::Fail(fail) => Command::Fail(fail),
        Ending::Release(release) => Command::Release(release),
    }
}

fn message(frame: &Frame) -> Result<FromWorker, StreamError> {
    if frame.kind != MESSAGE {
        return Err(StreamError::Kind(frame.kind));
    }
    Ok(decode("worker message", &frame.payload)?)
}

/// Lets the last message out: the worker closes when it has read it.
async fn linger<S: AsyncRead>(reader: &mut FrameReader<ReadHalf<S>>) {
    let until_closed = async { while let Ok(Some(_)) = reader.next().await {} };
    let _ = tokio::time::timeout(GOODBYE_WITHIN, until_closed).await;
}

fn next_connection() -> u64 {
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    CONNECTIONS.fetch_add(1, Ordering::Relaxed)
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
