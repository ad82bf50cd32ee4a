//! One connection to one node: an HTTP upgrade, then frames both ways. It knows messages, not their meaning.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use raftwork_api::frame::{Frame, FrameError, FrameReader, FrameWriter, STREAM_PATH, SendError};
use raftwork_api::kernel::{DecodeError, decode, encode};
use raftwork_api::stream::{FromWorker, MESSAGE, PROTOCOL, ROLE_HEADER, ROLE_WORKER, ToWorker};
use reqwest::StatusCode;
use reqwest::header::{CONNECTION, UPGRADE};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use crate::times;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{}", causes(.0))]
    Http(#[from] reqwest::Error),
    #[error("the node answered {0} instead of switching to {PROTOCOL}")]
    Refused(StatusCode),
    #[error("the node did not answer in time")]
    Slow,
}

/// Why the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LostError {
    #[error("the node ended the connection")]
    Ended,
    #[error("the node was silent for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the node sent a frame of unknown kind {0}; it may be newer than this worker")]
    Kind(u8),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// A connection that stands. Its directions are apart, so that waiting on one does not lock the other.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
}

/// The client that all connections of a worker are made with.
pub(crate) fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .tcp_nodelay(true)
        .tcp_user_timeout(times::TCP_UNACKNOWLEDGED)
        .connect_timeout(times::HANDSHAKE)
        .build()
}

/// Connects to the node at `url`.
pub(crate) async fn connect(http: &reqwest::Client, url: &str) -> Result<Connection, ConnectError> {
    timeout(times::HANDSHAKE, upgrade(http, url)).await.map_err(|_| ConnectError::Slow)?
}

async fn upgrade(http: &reqwest::Client, url: &str) -> Result<Connection, ConnectError> {
    let request = http
        .get(format!("{url}{STREAM_PATH}"))
        .header(UPGRADE, PROTOCOL)
        .header(CONNECTION, "upgrade")
        .header(ROLE_HEADER, ROLE_WORKER);
    let response = request.send().await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ConnectError::Refused(response.status()));
    }
    let (read, write) = tokio::io::split(response.upgrade().await?);
    let pulse = Arc::new(Pulse::new());
    let reader = FrameReader::new(Watched { io: read, pulse: Arc::clone(&pulse) });
    let (writer, task) = FrameWriter::spawn(write);
    Ok(Connection {
        incoming: Incoming { reader, pulse, silence: times::HANDSHAKE },
        outgoing: Outgoing { writer: Some(writer), task, waiting: VecDeque::new() },
    })
}

/// The messages that the node sends.
#[derive(Debug)]
pub(crate) struct Incoming {
    reader: FrameReader<Watched<ReadHalf<reqwest::Upgraded>>>,
    pulse: Arc<Pulse>,
    /// Longest time without a byte.
    silence: Duration,
}

impl Incoming {
    /// The node will be heard at least this often; longer silence is death.
    pub(crate) fn expect_every(&mut self, heartbeat: Duration) {
        self.silence = times::silence(heartbeat);
    }

    /// The next message. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<ToWorker, LostError> {
        loop {
            let silent_at = self.pulse.last() + self.silence;
            tokio::select! {
                biased;
                frame = self.reader.next() => return message(frame?),
                // A large frame on a slow line is no silence.
                () = sleep_until(silent_at) => if Instant::now() >= self.pulse.last() + self.silence {
                    return Err(LostError::Silent(self.silence));
                },
            }
        }
    }
}

fn message(frame: Option<Frame>) -> Result<ToWorker, LostError> {
    let frame = frame.ok_or(LostError::Ended)?;
    if frame.kind != MESSAGE {
        return Err(LostError::Kind(frame.kind));
    }
    Ok(decode("message to a worker", &frame.payload)?)
}

/// The messages to the node.
///
/// Nothing here waits for the peer: what the writer's queue does not take waits in `waiting`, which is bounded by the
/// leases that the worker holds and by the life of the connection.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// `None` once closed.
    writer: Option<FrameWriter>,
    task: JoinHandle<io::Result<()>>,
    waiting: VecDeque<Frame>,
}

impl Outgoing {
    /// Queues a message. If the connection is over, the reading side learns it.
    pub(crate) fn send(&mut self, message: &FromWorker) {
        let frame = Frame { id: 0, kind: MESSAGE, payload: encode(message).into() };
        let Some(writer) = &self.writer else { return };
        if !self.waiting.is_empty() || writer.try_send(frame.clone()) == Err(SendError::Full) {
            self.waiting.push_back(frame);
        }
    }

    /// Moves what waits to the writer as it makes room. Never resolves. Safe to cancel.
    pub(crate) async fn pump(&mut self) -> Infallible {
        while let (Some(frame), Some(writer)) = (self.waiting.front(), &self.writer) {
            if writer.send(frame.clone()).await.is_err() {
                break;
            }
            self.waiting.pop_front();
        }
        std::future::pending().await
    }

    /// Ends the connection after what is queued was written, unless that takes too long.
    pub(crate) async fn close(&mut self) {
        self.writer = None;
        // Whatever went wrong, there is nobody left who could act on it.
        let _ = timeout(times::CLOSE, &mut self.task).await;
    }
}

impl Drop for Outgoing {
    /// The writer of a peer that does not read would outlive the connection.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// When the last byte came.
#[derive(Debug)]
struct Pulse {
    opened: Instant,
    last_ms: AtomicU64,
}

impl Pulse {
    fn new() -> Self {
        Self { opened: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    fn beat(&self) {
        let ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.opened + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

/// Notes every byte that is read.
#[derive(Debug)]
struct Watched<R> {
    io: R,
    pulse: Arc<Pulse>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.pulse.beat();
        Poll::Ready(Ok(()))
    }
}

/// An error with all its causes: reqwest's own text leaves out what the system said.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
