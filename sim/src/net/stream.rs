//! One connection: two pipes of bytes that take their time.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::{MILLISECOND, Net, Place, Way};
use crate::clock;

/// One end of a connection.
pub(crate) struct SimStream {
    net: Net,
    connection: u64,
    incoming: Arc<Mutex<Pipe>>,
    outgoing: Arc<Mutex<Pipe>>,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// One direction.
struct Pipe {
    from: Place,
    to: Place,
    /// Bytes on their way, and when they arrive.
    flying: VecDeque<(u64, Bytes)>,
    /// When the end of it all arrives.
    ended: Option<u64>,
    reader: Option<Waker>,
}

/// Makes both ends of a connection from one place to another.
pub(super) fn connect(net: &Net, from: Place, to: Place, connection: u64) -> (SimStream, SimStream) {
    let pipe = |from, to| {
        let pipe = Pipe { from, to, flying: VecDeque::new(), ended: None, reader: None };
        Arc::new(Mutex::new(pipe))
    };
    let (there, back) = (pipe(from, to), pipe(to, from));
    let end = |incoming: &Arc<Mutex<Pipe>>, outgoing: &Arc<Mutex<Pipe>>| SimStream {
        net: net.clone(),
        connection,
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        sleep: None,
    };
    (end(&back, &there), end(&there, &back))
}

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pipe {
    /// When whatever is sent now arrives: after everything sent before.
    fn arrival(&self, net: &Net) -> u64 {
        let earliest = clock::true_now() + net.delay(self.from, self.to);
        self.flying.back().map_or(earliest, |(last, _)| earliest.max(*last))
    }
}

impl SimStream {
    /// Whether bytes get through this pipe.
    fn is_open(&self, pipe: &Pipe) -> io::Result<bool> {
        match self.net.way(pipe.from, pipe.to, self.connection) {
            Way::Open => Ok(true),
            Way::Cut => Ok(false),
            Way::Reset => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }

    /// Waits so long, in the node's own time.
    fn poll_wait(&mut self, nanos: u64, context: &mut Context<'_>) -> Poll<()> {
        let mut sleep = Box::pin(tokio::time::sleep(clock::local(nanos)));
        let waited = sleep.as_mut().poll(context);
        self.sleep = Some(sleep);
        waited
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let incoming = Arc::clone(&self.incoming);
            let mut pipe = lock(&incoming);
            let is_open = self.is_open(&pipe)?;
            pipe.reader = Some(context.waker().clone());
            let next = pipe.flying.front().map(|(arrives, _)| *arrives).or(pipe.ended);
            let Some(arrives) = next.filter(|_| is_open) else {
                self.net.tell_me(self.connection, pipe.to, context.waker());
                return Poll::Pending;
            };
            // The runtime's timer counts milliseconds.
            let early = arrives.saturating_sub(clock::true_now());
            if early >= MILLISECOND {
                drop(pipe);
                ready!(self.poll_wait(early, context));
                continue;
            }
            let Some((_, bytes)) = pipe.flying.front_mut() else { return Poll::Ready(Ok(())) };
            let length = bytes.len().min(buffer.remaining());
            buffer.put_slice(&bytes[..length]);
            bytes.advance(length);
            if bytes.is_empty() {
                pipe.flying.pop_front();
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.outgoing);
        self.is_open(&pipe)?;
        let arrives = pipe.arrival(&self.net);
        self.net.trace.event("bytes", &[pipe.from, pipe.to, arrives], bytes);
        pipe.flying.push_back((arrives, Bytes::copy_from_slice(bytes)));
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.outgoing);
        if pipe.ended.is_none() {
            pipe.ended = Some(pipe.arrival(&self.net));
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let mut pipe = lock(&self.outgoing);
        let arrives = pipe.arrival(&self.net);
        pipe.ended.get_or_insert(arrives);
        self.net.forget(self.connection, pipe.from);
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
    }
}
