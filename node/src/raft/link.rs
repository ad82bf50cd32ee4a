//! A connection to a peer that makes itself: dialled when something is to be said, dropped when nothing is heard.
//!
//! A TCP connection that lived through a partition may sleep for a minute before it tries again, so one that misses two
//! answers in a row is dropped, and the next question dials anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use raftwork_api::frame::{self, Frame, FrameReader, FrameWriter, SendError};
use serde::Deserialize;
use tokio::io::ReadHalf;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use super::dial::{Dial, DialError, PeerStream};
use super::own::Own;
use super::types::NodeId;
use super::wire::{self, ANSWER, Answer, MEET, Meet, WireError};

/// Missed answers in a row that end a connection.
const MISSES_MAX: u32 = 2;
/// Time for a connection to be made. On a network that works it takes a round trip.
pub(super) const DIAL_MAX: Duration = Duration::from_secs(2);

/// Why a peer did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the connection to {addr} was lost")]
    Lost { addr: String },
    #[error("no answer from {addr} within {after:?}")]
    Timeout { addr: String, after: Duration },
    #[error("cannot send to {addr}: {error}")]
    Send { addr: String, error: SendError },
    #[error("{addr} answered: {text}")]
    Remote { addr: String, text: String },
    #[error("the answer of {addr} means nothing: {error}")]
    Wire { addr: String, error: WireError },
}

/// One logical connection to one peer.
#[derive(Debug)]
pub(super) struct Link {
    target: NodeId,
    addr: String,
    /// Says who calls, and whom it means.
    greeting: Bytes,
    dialer: Arc<dyn Dial>,
    current: Mutex<Option<Arc<Connection>>>,
    /// One permit, held while dialling, so that those who ask meanwhile share the connection.
    turn: Semaphore,
    misses: AtomicU32,
}

impl Link {
    /// A link that is not yet connected.
    ///
    /// Without `meant`, the incarnation of the target, no more can be asked than who it is.
    pub(super) fn new(
        own: &Own,
        target: NodeId,
        meant: Option<Uuid>,
        addr: String,
        dialer: Arc<dyn Dial>,
    ) -> Self {
        let greeting = wire::encode(&Meet { from: own.node, incarnation: own.incarnation, meant });
        let (current, turn) = (Mutex::default(), Semaphore::new(1));
        Self { target, addr, greeting, dialer, current, turn, misses: AtomicU32::new(0) }
    }

    /// Sends a question. Questions of one caller arrive in their order.
    pub(super) async fn ask(&self, kind: u8, payload: Bytes) -> Result<Waiting<'_>, LinkError> {
        let connection = self.connect().await?;
        let waiting = connection.expect_answer(self)?;
        self.send(&connection, Frame { id: waiting.id, kind, payload }).await?;
        Ok(waiting)
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask_for<T>(
        &self,
        kind: u8,
        payload: Bytes,
        patience: Duration,
    ) -> Result<T, LinkError>
    where
        T: for<'a> Deserialize<'a>,
    {
        let asked = timeout(patience, self.ask(kind, payload)).await;
        let mut waiting = asked.map_err(|_| self.missed(patience))??;
        waiting.answer(patience).await
    }

    /// Drops the connection; whoever waits on it is told.
    pub(super) fn hang_up(&self) {
        *self.lock() = None;
        self.misses.store(0, Ordering::Relaxed);
    }

    async fn connect(&self) -> Result<Arc<Connection>, LinkError> {
        if let Some(connection) = self.open_connection() {
            return Ok(connection);
        }
        let _turn = self.turn.acquire().await.expect("the turn is never closed");
        if let Some(connection) = self.open_connection() {
            return Ok(connection);
        }
        let dialled = timeout(DIAL_MAX, self.dialer.dial(self.target, &self.addr)).await;
        let too_slow =
            |_| DialError::Unreachable { addr: self.addr.clone(), error: "it does not answer".to_owned() };
        let stream = dialled.map_err(too_slow)??;
        let connection = Arc::new(Connection::start(stream));
        // Nobody waits for the answer: whoever is not meant says so to the first question.
        self.send(&connection, Frame { id: 0, kind: MEET, payload: self.greeting.clone() }).await?;
        *self.lock() = Some(Arc::clone(&connection));
        self.misses.store(0, Ordering::Relaxed);
        Ok(connection)
    }

    fn open_connection(&self) -> Option<Arc<Connection>> {
        self.lock().as_ref().filter(|connection| !connection.is_over()).map(Arc::clone)
    }

    async fn send(&self, connection: &Connection, frame: Frame) -> Result<(), LinkError> {
        connection.writer.send(frame).await.map_err(|error| match error {
            SendError::Closed => self.lost(),
            SendError::Full | SendError::TooLong { .. } => LinkError::Send { addr: self.addr.clone(), error },
        })
    }

    fn lost(&self) -> LinkError {
        LinkError::Lost { addr: self.addr.clone() }
    }

    fn missed(&self, after: Duration) -> LinkError {
        if self.misses.fetch_add(1, Ordering::Relaxed) + 1 >= MISSES_MAX {
            self.hang_up();
        }
        LinkError::Timeout { addr: self.addr.clone(), after }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that was sent; dropping it forgets the answer.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    id: u64,
    link: &'a Link,
    connection: Arc<Connection>,
    answer: oneshot::Receiver<Frame>,
    asked: Instant,
}

impl Waiting<'_> {
    /// Sends more under the question's id.
    pub(super) async fn tell(&self, kind: u8, payload: Bytes, patience: Duration) -> Result<(), LinkError> {
        let sent = self.link.send(&self.connection, Frame { id: self.id, kind, payload });
        timeout(patience, sent).await.map_err(|_| self.link.missed(patience))?
    }

    /// The answer, if it comes within `patience` of the asking.
    pub(super) async fn answer<T: for<'a> Deserialize<'a>>(
        &mut self,
        patience: Duration,
    ) -> Result<T, LinkError> {
        self.answer_until(self.asked + patience, patience).await
    }

    /// The answer, if it comes within `patience` from now. May be called again if it was cancelled.
    pub(super) async fn answer_from_now<T: for<'a> Deserialize<'a>>(
        &mut self,
        patience: Duration,
    ) -> Result<T, LinkError> {
        self.answer_until(Instant::now() + patience, patience).await
    }

    async fn answer_until<T: for<'a> Deserialize<'a>>(
        &mut self,
        end: Instant,
        patience: Duration,
    ) -> Result<T, LinkError> {
        let heard = timeout_at(end, &mut self.answer).await;
        let frame = heard.map_err(|_| self.link.missed(patience))?.map_err(|_| self.link.lost())?;
        self.link.misses.store(0, Ordering::Relaxed);
        let addr = || self.link.addr.clone();
        if frame.kind != ANSWER {
            return Err(LinkError::Wire { addr: addr(), error: WireError::Kind(frame.kind) });
        }
        let answer: Answer<T> =
            wire::decode(&frame.payload).map_err(|error| LinkError::Wire { addr: addr(), error })?;
        answer.map_err(|text| LinkError::Remote { addr: addr(), text })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(expected) = self.connection.lock().as_mut() {
            expected.remove(&self.id);
        }
    }
}

/// One upgraded connection: its writer, and the task that reads answers.
#[derive(Debug)]
pub(super) struct Connection {
    writer: FrameWriter,
    expected: Arc<Mutex<Expected>>,
    next_id: AtomicU64,
    reader: JoinHandle<()>,
}

/// Who waits for which answer; `None` once no answer can come.
type Expected = Option<HashMap<u64, oneshot::Sender<Frame>>>;

impl Connection {
    pub(super) fn start(stream: PeerStream) -> Self {
        let (frames, writer) = frame::split(stream);
        let expected = Arc::new(Mutex::new(Some(HashMap::new())));
        let reader = tokio::spawn(read_answers(frames, Arc::clone(&expected)));
        Self { writer, expected, next_id: AtomicU64::new(1), reader }
    }

    fn expect_answer<'a>(self: &Arc<Self>, link: &'a Link) -> Result<Waiting<'a>, LinkError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (told, answer) = oneshot::channel();
        self.lock().as_mut().ok_or_else(|| link.lost())?.insert(id, told);
        Ok(Waiting { id, link, connection: Arc::clone(self), answer, asked: Instant::now() })
    }

    /// Waits until the other side has closed it, or it has failed.
    pub(super) async fn ended(mut self) {
        // An error says that the reader panicked, which ends the connection too.
        let _ = (&mut self.reader).await;
    }

    fn is_over(&self) -> bool {
        self.writer.is_closed() || self.lock().is_none()
    }

    fn lock(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read_answers(mut frames: FrameReader<ReadHalf<PeerStream>>, expected: Arc<Mutex<Expected>>) {
    let lock = || expected.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match frames.next().await {
            Ok(Some(frame)) => {
                let waiting = lock().as_mut().and_then(|expected| expected.remove(&frame.id));
                if let Some(waiting) = waiting {
                    // Whoever asked may have gone since.
                    let _ = waiting.send(frame);
                }
            }
            Ok(None) => break,
            Err(error) => {
                tracing::debug!(%error, "a peer's stream ended");
                break;
            }
        }
    }
    // Everyone who still waits is told by the drop of the other end.
    *lock() = None;
}
