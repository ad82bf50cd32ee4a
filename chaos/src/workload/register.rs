//! The fenced register outside of the cluster: what tasks do to the world. It takes an effect unless a newer attempt of the
//! same task has been there before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use raftwork_api::kernel::{TaskId, Token};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::history::{Effect, Event, Recorder};

/// The running register; dropping it closes it.
pub(crate) struct Register {
    addr: SocketAddr,
    task: AbortHandle,
}

#[derive(Default)]
struct Ledger {
    newest: Mutex<HashMap<TaskId, Token>>,
}

impl Ledger {
    /// Takes an effect, or refuses it.
    fn offer(&self, task: TaskId, token: Token) -> bool {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match newest.entry(task) {
            Entry::Occupied(highest) if *highest.get() > token => false,
            entry @ (Entry::Occupied(_) | Entry::Vacant(_)) => {
                entry.insert_entry(token);
                true
            }
        }
    }
}

impl Register {
    /// Opens the register on a free port of this machine's address `at`.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn open(at: IpAddr, recorder: Recorder) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((at, 0)).await.context("no port for the register")?;
        let addr = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let ledger = Arc::new(Ledger::default());
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&ledger), recorder.clone()));
                }
            }
        });
        Ok(Self { addr, task: task.abort_handle() })
    }

    /// Where tasks offer their effects.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Register {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One offer: a line with task, token and processes, answered by a word.
async fn serve(stream: TcpStream, ledger: Arc<Ledger>, recorder: Recorder) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    if stream.read_line(&mut line).await.is_err() {
        return;
    }
    let Some((task, token, pids)) = parse(&line) else { return };
    let accepted = ledger.offer(task, token);
    recorder.record(Event::Effect(Effect { task, token, accepted, pids }));
    let word: &[u8] = if accepted { b"taken\n" } else { b"refused\n" };
    let _ = stream.write_all(word).await;
}

fn parse(line: &str) -> Option<(TaskId, Token, Vec<u32>)> {
    let mut words = line.split_whitespace();
    let (task, token) = (words.next()?.parse().ok()?, Token(words.next()?.parse().ok()?));
    Some((task, token, words.map(str::parse).collect::<Result<_, _>>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_attempt_is_refused_once_a_newer_one_was_there() {
        let (ledger, task) = (Ledger::default(), TaskId::from_u128(1));
        assert!(ledger.offer(task, Token(5)));
        assert!(ledger.offer(task, Token(5)));
        assert!(ledger.offer(task, Token(9)));
        assert!(!ledger.offer(task, Token(5)));
        assert!(ledger.offer(TaskId::from_u128(2), Token(1)));
    }
}
