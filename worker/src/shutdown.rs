//! How a worker is told to leave: once politely, a second time at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Signals that a process gets before it is killed are few; more than these are not worth counting.
const SIGNALS_BOUND: usize = 8;

/// Delivers requests to leave to [`crate::run`].
#[derive(Debug)]
pub struct Shutdown {
    requests: mpsc::Receiver<()>,
    seen: u32,
}

/// The other end of [`Shutdown`].
#[derive(Debug, Clone)]
pub struct ShutdownHandle {
    requests: mpsc::Sender<()>,
}

/// What a request to leave asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Drain,
    AtOnce,
}

impl Shutdown {
    /// Requests that are made by hand.
    pub fn manual() -> (ShutdownHandle, Self) {
        let (sender, requests) = mpsc::channel(SIGNALS_BOUND);
        (ShutdownHandle { requests: sender }, Self { requests, seen: 0 })
    }

    /// The first SIGTERM or SIGINT drains, the second stops at once.
    ///
    /// # Errors
    /// When the handlers cannot be installed. Must be called on a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let (handle, shutdown) = Self::manual();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn(pass_on(terminate, interrupt, handle));
        Ok(shutdown)
    }

    /// The next request. Never resolves when none can come any more. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Request {
        if self.requests.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.seen += 1;
        if self.seen == 1 { Request::Drain } else { Request::AtOnce }
    }
}

impl ShutdownHandle {
    /// Asks once: the first time to drain, then to stop at once.
    pub fn request(&self) {
        // A full channel holds enough requests already, a closed one belongs to a worker that has left.
        let _ = self.requests.try_send(());
    }
}

async fn pass_on(mut terminate: Signal, mut interrupt: Signal, handle: ShutdownHandle) {
    loop {
        tokio::select! {
            Some(()) = terminate.recv() => handle.request(),
            Some(()) = interrupt.recv() => handle.request(),
            () = handle.requests.closed() => return,
            else => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_stops() {
        let mut shutdown = Shutdown::on_signals().unwrap();
        for (signal, expected) in [(Signal::TERM, Request::Drain), (Signal::INT, Request::AtOnce)] {
            kill_process(getpid(), signal).unwrap();
            let request = timeout(Duration::from_mins(1), shutdown.next()).await;
            assert_eq!(request.expect("the signal arrives"), expected);
        }
    }
}
