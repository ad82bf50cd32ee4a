//! Answering heartbeats: only after a quorum confirmed that this node leads, in a round that began after they arrived.
//!
//! A deposed leader that is cut off together with a worker would otherwise keep that worker's own clock running while the
//! new leader grants its tasks again. One round serves all heartbeats that wait.

use raftwork_api::frame::FrameWriter;
use raftwork_api::stream::ToWorker;
use raftwork_kernel::LeaseRef;
use raftwork_kernel::mutants::mutant;
use tokio::sync::oneshot;

use super::{Beats, Dispatcher, send};
use crate::group::{Linearizer, Unavailable};

/// A heartbeat that waits for its answer.
pub(super) struct Beat {
    pub(super) held: Vec<LeaseRef>,
    pub(super) answer: Answer,
}

/// Where the answer goes.
pub(super) enum Answer {
    /// To a worker's stream, under the heartbeat's number.
    Stream(FrameWriter, u64),
    /// To a caller.
    Caller(oneshot::Sender<Result<Vec<LeaseRef>, Unavailable>>),
}

impl Dispatcher {
    /// Answers heartbeats until the node stops.
    pub(crate) async fn run_beats(self, mut beats: Beats, linearizer: Linearizer) {
        let mut waiting = Vec::new();
        while beats.0.recv_many(&mut waiting, super::BEATS_MAX).await > 0 {
            let confirmed = linearizer.linearize().await;
            for beat in waiting.drain(..) {
                self.answer(beat, &confirmed);
            }
        }
    }

    fn answer(&self, beat: Beat, confirmed: &Result<(), Unavailable>) {
        let held = if mutant("M23") { &[] } else { beat.held.as_slice() };
        let lost = confirmed.clone().map(|()| self.inner.replica.lost(held));
        match (beat.answer, lost) {
            (Answer::Stream(outbox, number), Ok(lost)) => send(&outbox, &ToWorker::Beat { number, lost }),
            // No answer: the worker looks for the leader elsewhere.
            (Answer::Stream(..), Err(_)) => {}
            (Answer::Caller(caller), lost) => {
                let _ = caller.send(lost);
            }
        }
    }
}
