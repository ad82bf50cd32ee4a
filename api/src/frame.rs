//! The framed stream that an `Upgrade: raftwork/1` connection becomes.
//!
//! Raft peers, workers and SDK clients all speak it: a frame is `u32 length | u64 id | u8 kind | payload`, little
//! endian, and `length` counts what follows it. What a kind means belongs to whoever speaks; this module moves frames and
//! must not look into them.
//!
//! Reading is pulled ([`FrameReader::next`]); writing is pushed through a cheap, cloneable [`FrameWriter`] to one task that
//! puts everything that is queued into one write. Nothing waits for more to come, so a lone frame leaves at once and a
//! burst shares its system calls.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

/// The token of the HTTP `Upgrade` header.
pub const PROTOCOL: &str = "raftwork/1";
/// The route that performs the upgrade.
pub use crate::paths::STREAM as STREAM_PATH;
/// The request header that says who speaks: `peer`, `worker` or `client`.
pub const ROLE_HEADER: &str = "x-raftwork-role";

/// Largest payload of one frame: four times the largest task payload, so that a batch of one always fits.
pub const PAYLOAD_BYTES_MAX: usize = (64 << 20) + FRAME_SLACK;
/// Room for the encoding around a payload of 64 MiB.
const FRAME_SLACK: usize = 64 << 10;
/// Bytes of a frame before its payload that `length` counts.
const BODY_HEADER: usize = 8 + 1;
/// Bytes of a frame before its payload.
const HEADER: usize = 4 + BODY_HEADER;
/// Most that one step of reading asks room for, so that a false length cannot reserve a gigabyte.
const READ_STEP: usize = 256 << 10;
/// Payloads of at least this size are written from where they are; smaller ones are copied together.
const COPY_BELOW: usize = 32 << 10;
/// Frames that may wait in a writer's queue.
const QUEUE_FRAMES_MAX: usize = 1024;
/// Bytes that may wait in a writer's queue: one largest frame, or many small ones.
const QUEUE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + HEADER;

/// One message of a framed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Ties an answer to its question; the asker chooses it.
    pub id: u64,
    /// What the payload is, in the vocabulary of the two that speak.
    pub kind: u8,
    /// The message itself.
    pub payload: Bytes,
}

/// Why no further frame can be read; the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer announced a frame over the limit, or does not speak this protocol.
    #[error("the peer announced a frame of {length} bytes, over the limit of {limit}")]
    TooLong {
        /// What the peer announced.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The peer announced a frame without room for its own header.
    #[error("the peer announced a frame of {length} bytes, but the header alone takes {BODY_HEADER}")]
    TooShort {
        /// What the peer announced.
        length: usize,
    },
    /// The connection ended inside a frame.
    #[error("the connection ended inside a frame, after {received} of its bytes")]
    Truncated {
        /// Bytes of the frame that did arrive.
        received: usize,
    },
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
    /// The queue is full; only [`FrameWriter::try_send`] says so.
    #[error("the connection's queue is full")]
    Full,
    /// The payload is over [`PAYLOAD_BYTES_MAX`].
    #[error("a payload of {length} bytes is over the limit of {PAYLOAD_BYTES_MAX}")]
    TooLong {
        /// Size of the payload.
        length: usize,
    },
}

/// Splits an upgraded connection into its two directions.
///
/// The writer's task ends when every [`FrameWriter`] is dropped (after what is queued was written) or when the peer goes.
/// Must be called inside a tokio runtime.
pub fn split<S>(stream: S) -> (FrameReader<ReadHalf<S>>, FrameWriter)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write): (ReadHalf<S>, WriteHalf<S>) = tokio::io::split(stream);
    let (writer, _task) = FrameWriter::spawn(write);
    (FrameReader::new(read), writer)
}

/// The reading direction: buffered, and safe to cancel between frames or inside one.
#[derive(Debug)]
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames from `io`.
    pub fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::with_capacity(READ_STEP / 4) }
    }

    /// The next frame, or `None` when the peer ended the stream between two frames.
    ///
    /// Dropping the future loses nothing: bytes that arrived stay in the buffer.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let missing = match parse(&mut self.buffer)? {
                Parsed::Frame(frame) => return Ok(Some(frame)),
                Parsed::Missing(bytes) => bytes,
            };
            if self.buffer.capacity() - self.buffer.len() < missing.min(READ_STEP) {
                self.buffer.reserve(missing.clamp(READ_STEP / 4, READ_STEP));
            }
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return match self.buffer.len() {
                    0 => Ok(None),
                    received => Err(FrameError::Truncated { received }),
                };
            }
        }
    }
}

enum Parsed {
    Frame(Frame),
    /// So many bytes are missing for the next decision.
    Missing(usize),
}

fn parse(buffer: &mut BytesMut) -> Result<Parsed, FrameError> {
    let Some(prefix) = buffer.first_chunk::<4>() else {
        return Ok(Parsed::Missing(HEADER - buffer.len()));
    };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length < BODY_HEADER {
        return Err(FrameError::TooShort { length });
    }
    let limit = PAYLOAD_BYTES_MAX + BODY_HEADER;
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    if buffer.len() < 4 + length {
        return Ok(Parsed::Missing(4 + length - buffer.len()));
    }
    let mut frame = buffer.split_to(4 + length);
    frame.advance(4);
    let id = frame.get_u64_le();
    let kind = frame.get_u8();
    Ok(Parsed::Frame(Frame { id, kind, payload: frame.freeze() }))
}

/// The writing direction: a cheap handle on the connection's one writer task.
#[derive(Debug, Clone)]
pub struct FrameWriter {
    queue: mpsc::Sender<Queued>,
    budget: Arc<Semaphore>,
}

/// A frame in the queue, with its share of the byte budget, which returns when the frame was written.
#[derive(Debug)]
struct Queued {
    frame: Frame,
    share: OwnedSemaphorePermit,
}

impl FrameWriter {
    /// Starts the writer task of `io`; the task's result is how the stream ended.
    ///
    /// Must be called inside a tokio runtime.
    pub fn spawn<W>(io: W) -> (Self, JoinHandle<io::Result<()>>)
    where
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let (queue, queued) = mpsc::channel(QUEUE_FRAMES_MAX);
        let task = tokio::spawn(write_frames(io, queued));
        (Self { queue, budget: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)) }, task)
    }

    /// Queues a frame, waiting while the queue is full. Frames of one caller keep their order.
    ///
    /// `Ok` means queued, not delivered.
    pub async fn send(&self, frame: Frame) -> Result<(), SendError> {
        let share = Arc::clone(&self.budget).acquire_many_owned(cost(&frame)?);
        let share = tokio::select! {
            biased;
            () = self.queue.closed() => return Err(SendError::Closed),
            share = share => share.map_err(|_| SendError::Closed)?,
        };
        self.queue.send(Queued { frame, share }).await.map_err(|_| SendError::Closed)
    }

    /// Queues a frame, or says at once why not.
    pub fn try_send(&self, frame: Frame) -> Result<(), SendError> {
        let share = Arc::clone(&self.budget).try_acquire_many_owned(cost(&frame)?);
        let share = share.map_err(|_| SendError::Full)?;
        self.queue.try_send(Queued { frame, share }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// Resolves when the writer task has ended, because the peer went.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }

    /// Whether the writer task has ended.
    pub fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }
}

/// What a frame takes of the byte budget.
fn cost(frame: &Frame) -> Result<u32, SendError> {
    let length = frame.payload.len();
    if length > PAYLOAD_BYTES_MAX {
        return Err(SendError::TooLong { length });
    }
    Ok(u32::try_from(length + HEADER).expect("the limit is far below 4 GiB"))
}

async fn write_frames<W: AsyncWrite + Unpin>(
    mut io: W,
    mut queued: mpsc::Receiver<Queued>,
) -> io::Result<()> {
    let mut batch = Vec::new();
    let mut shares = Vec::new();
    let mut buffer = BytesMut::new();
    while queued.recv_many(&mut batch, QUEUE_FRAMES_MAX).await > 0 {
        for Queued { frame, share } in batch.drain(..) {
            put_header(&mut buffer, &frame);
            if frame.payload.len() < COPY_BELOW {
                buffer.extend_from_slice(&frame.payload);
            } else {
                io.write_all_buf(&mut (&mut buffer).chain(frame.payload)).await?;
            }
            shares.push(share);
        }
        io.write_all_buf(&mut buffer).await?;
        io.flush().await?;
        shares.clear();
        buffer.clear();
    }
    io.shutdown().await
}

fn put_header(buffer: &mut BytesMut, frame: &Frame) {
    let length = u32::try_from(frame.payload.len() + BODY_HEADER).expect("checked when the frame was queued");
    buffer.put_u32_le(length);
    buffer.put_u64_le(frame.id);
    buffer.put_u8(frame.kind);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::DuplexStream;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn frame(id: u64, payload: &[u8]) -> Frame {
        Frame { id, kind: 7, payload: Bytes::copy_from_slice(payload) }
    }

    fn pair(pipe: usize) -> (FrameWriter, FrameReader<DuplexStream>) {
        let (near, far) = tokio::io::duplex(pipe);
        (FrameWriter::spawn(near).0, FrameReader::new(far))
    }

    async fn read_raw(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        FrameReader::new(bytes).next().await
    }

    /// Small and large frames through a pipe far smaller than they are, in order and unchanged.
    #[tokio::test]
    async fn frames_arrive_as_they_were_sent() {
        let (writer, mut reader) = pair(1000);
        let sizes = [0, 1, 900, COPY_BELOW - 1, COPY_BELOW, 300_000, 2, 3 << 20, 5];
        let sent: Vec<Frame> =
            (0u8..).zip(sizes).map(|(id, size)| frame(id.into(), &vec![id; size])).collect();
        let to_send = sent.clone();
        let sender = tokio::spawn(async move {
            for frame in to_send {
                writer.send(frame).await.unwrap();
            }
        });
        let mut received = Vec::new();
        while let Some(frame) = timeout(PATIENCE, reader.next()).await.unwrap().unwrap() {
            received.push(frame);
        }
        sender.await.unwrap();
        assert!(received == sent);
    }

    /// A reader that is cancelled in the middle of a frame goes on where it was.
    #[tokio::test]
    async fn cancelling_a_read_loses_nothing() {
        let (mut near, far) = tokio::io::duplex(64);
        let mut reader = FrameReader::new(far);
        near.write_all(&[12, 0, 0, 0, 1, 0]).await.unwrap();
        tokio::select! {
            biased;
            _ = reader.next() => panic!("the frame is not complete"),
            () = tokio::task::yield_now() => {}
        }
        near.write_all(&[0, 0, 0, 0, 0, 0, 7, b'a', b'b', b'c']).await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Some(frame(1, b"abc")));
    }

    #[tokio::test]
    async fn end_between_frames_is_no_error() {
        assert!(matches!(read_raw(&[]).await, Ok(None)));
    }

    #[tokio::test]
    async fn end_inside_a_frame_is_an_error() {
        assert!(matches!(read_raw(&[12, 0, 0]).await, Err(FrameError::Truncated { received: 3 })));
        assert!(matches!(
            read_raw(&[12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, b'a']).await,
            Err(FrameError::Truncated { received: 14 })
        ));
    }

    /// Text where a frame should be is refused by its "length", and the limit is named.
    #[tokio::test]
    async fn garbage_is_refused_with_the_limit() {
        let error = read_raw(b"GET / HTTP/1.1\r\n\r\n").await.unwrap_err();
        assert!(error.to_string().contains(&(PAYLOAD_BYTES_MAX + BODY_HEADER).to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_length_without_room_for_the_header_is_refused() {
        assert!(matches!(read_raw(&[8, 0, 0, 0, 1, 2, 3]).await, Err(FrameError::TooShort { length: 8 })));
    }

    #[tokio::test]
    async fn an_oversized_frame_is_not_queued() {
        let (writer, _reader) = pair(64);
        let payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
        let error = writer.send(Frame { id: 1, kind: 1, payload }).await.unwrap_err();
        assert_eq!(error, SendError::TooLong { length: PAYLOAD_BYTES_MAX + 1 });
    }

    /// When the peer goes, waiting senders and later ones are told, and so is who watches.
    #[tokio::test]
    async fn senders_learn_that_the_peer_went() {
        let (writer, reader) = pair(64);
        let waiting = tokio::spawn({
            let writer = writer.clone();
            async move { while writer.send(frame(1, &[0; 8000])).await.is_ok() {} }
        });
        drop(reader);
        timeout(PATIENCE, writer.closed()).await.unwrap();
        timeout(PATIENCE, waiting).await.unwrap().unwrap();
        assert_eq!(writer.try_send(frame(2, b"late")), Err(SendError::Closed));
    }

    /// A stalled peer fills the queue to its byte bound and no further.
    #[tokio::test]
    async fn a_stalled_peer_fills_the_queue_to_its_bound() {
        let (writer, _reader) = pair(64);
        let megabyte = Bytes::from(vec![0; 1 << 20]);
        let mut queued = 0;
        while writer.try_send(Frame { id: queued, kind: 1, payload: megabyte.clone() }).is_ok() {
            queued += 1;
        }
        assert_eq!(queued, 64);
        assert_eq!(writer.try_send(Frame { id: 0, kind: 1, payload: megabyte }), Err(SendError::Full));
    }

    /// Dropping the last handle still delivers what was queued, then ends the stream.
    #[tokio::test]
    async fn dropping_the_writer_flushes_it() {
        let (writer, mut reader) = pair(1 << 20);
        for id in 0..100 {
            writer.try_send(frame(id, b"x")).unwrap();
        }
        drop(writer);
        for id in 0..100 {
            assert_eq!(timeout(PATIENCE, reader.next()).await.unwrap().unwrap(), Some(frame(id, b"x")));
        }
        assert!(timeout(PATIENCE, reader.next()).await.unwrap().unwrap().is_none());
    }
}
