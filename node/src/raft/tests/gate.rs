//! What goes between two nodes, held back or lost when a test says so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::sync::watch;
use tokio::time::timeout;

use super::super::dial::{Dial, DialError, PeerStream};
use super::super::types::NodeId;
use super::cluster::PATIENCE;
use super::vigil::ProbingDialer;

/// Bytes that a connection takes at a time.
const CHUNK: usize = 1 << 16;

/// The gates of all connections that nodes make, by who dials whom.
#[derive(Debug, Clone, Default)]
pub(super) struct Gates(Arc<Mutex<BTreeMap<(NodeId, NodeId), Gate>>>);

impl Gates {
    /// The gate of the connections that one node makes to another.
    pub(super) fn of(&self, from: NodeId, to: NodeId) -> Gate {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((from, to)).or_default().clone()
    }
}

/// The gate of some connections; open at first.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    holds_answers: bool,
    loses_questions: bool,
    /// Connections that carried this are told apart from the others.
    mark: Vec<u8>,
    lost: usize,
    lost_behind_mark: usize,
}

impl Gate {
    /// Answers wait at the gate from now on.
    pub(super) fn hold_answers(&self) {
        self.0.send_modify(|state| state.holds_answers = true);
    }

    pub(super) fn release_answers(&self) {
        self.0.send_modify(|state| state.holds_answers = false);
    }

    /// What is asked from now on goes nowhere.
    pub(super) fn lose_questions(&self) {
        self.0.send_modify(|state| state.loses_questions = true);
    }

    /// Tells the connection apart that carries this from now on.
    pub(super) fn mark(&self, text: &[u8]) {
        self.0.send_modify(|state| state.mark = text.to_owned());
    }

    /// Waits until something was lost.
    pub(super) async fn lost(&self) {
        self.until(|state| state.lost > 0).await;
    }

    /// Waits until something was lost that was asked behind the mark.
    pub(super) async fn lost_behind_mark(&self) {
        self.until(|state| state.lost_behind_mark > 0).await;
    }

    async fn until(&self, wanted: impl FnMut(&State) -> bool) {
        let mut state = self.0.subscribe();
        timeout(PATIENCE, state.wait_for(wanted)).await.unwrap().unwrap();
    }

    async fn carry_answers(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            self.until(|state| !state.holds_answers).await;
            if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }

    async fn carry_questions(&self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut buffer = vec![0; CHUNK];
        let mut is_marked = false;
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let bytes = &buffer[..length];
            let mut loses = false;
            self.0.send_modify(|state| {
                loses = state.loses_questions;
                let len = state.mark.len();
                is_marked |= len > 0 && bytes.windows(len).any(|window| window == state.mark);
                state.lost += usize::from(loses);
                state.lost_behind_mark += usize::from(loses && is_marked);
            });
            if !loses && to.write_all(bytes).await.is_err() {
                return;
            }
        }
    }
}

/// Dials through the gates.
#[derive(Debug)]
pub(super) struct GatedDialer {
    own: NodeId,
    dialer: ProbingDialer,
    gates: Gates,
}

impl GatedDialer {
    pub(super) fn new(own: NodeId, dialer: ProbingDialer, gates: Gates) -> Self {
        Self { own, dialer, gates }
    }
}

impl Dial for GatedDialer {
    fn dial<'a>(&'a self, target: NodeId, addr: &'a str) -> BoxFuture<'a, Result<PeerStream, DialError>> {
        Box::pin(async move {
            let (answers, questions) = split(self.dialer.dial(target, addr).await?);
            let (near, far) = tokio::io::duplex(CHUNK);
            let (asked, answered) = split(far);
            let gate = self.gates.of(self.own, target);
            // Once one of the two ends, so does the connection.
            tokio::spawn(async move {
                tokio::select! {
                    () = gate.carry_answers(answers, answered) => {}
                    () = gate.carry_questions(asked, questions) => {}
                }
            });
            let near: PeerStream = Box::new(near);
            Ok(near)
        })
    }

    fn refuses<'a>(&'a self, target: NodeId, addr: &'a str) -> BoxFuture<'a, bool> {
        self.dialer.refuses(target, addr)
    }
}
