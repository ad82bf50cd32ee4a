//! Workers: they ask for tasks, beat, run them for a while, and report; some vanish, and some come back as ghosts.

use std::time::Duration;

use bytes::Bytes;
use raftwork_kernel::{
    Accepted, Command, Complete, Fail, FailureKind, LeaseRef, Output, PythonVersion, Release, RequestId,
    Tags, TaskError, Token, WorkerId,
};
use raftwork_node::dispatch::AcquireRequest;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::host::{Answer, Ask};
use crate::outside::Outside;

const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11 };
/// Attempts of a report, which is repeated until it is answered, or long past any sense.
const ATTEMPTS: u32 = 40;

/// The token under which a result was made: results say so, so that nobody can mistake whose they are.
pub(crate) fn token_of(result: &Bytes) -> Option<Token> {
    Some(Token(u64::from_be_bytes(result.get(..8)?.try_into().ok()?)))
}

fn result_of(lease: &LeaseRef, worker: WorkerId) -> Bytes {
    [&lease.token.0.to_be_bytes()[..], worker.as_bytes()].concat().into()
}

/// One worker process after the other at the same place.
pub(crate) struct Worker {
    outside: Outside,
    id: WorkerId,
    /// What it holds, as its heartbeats say.
    held: Arc<Mutex<Vec<LeaseRef>>>,
    heartbeat: Duration,
}

impl Worker {
    pub(crate) fn new(mut outside: Outside, heartbeat: Duration) -> Self {
        let id = WorkerId::from_u128(outside.chance.id());
        Self { outside, id, held: Arc::default(), heartbeat }
    }

    /// Lives for ever, one life after the other.
    pub(crate) async fn run(mut self) {
        loop {
            self.id = WorkerId::from_u128(self.outside.chance.id());
            self.held = Arc::default();
            let beats = tokio::spawn(self.beats());
            self.live().await;
            beats.abort();
            let dead = self.outside.chance.within(200..4000);
            tokio::time::sleep(Duration::from_millis(dead)).await;
        }
    }

    /// Until it vanishes; what it had begun may go on as a ghost, and report in the end.
    async fn live(&mut self) {
        loop {
            let chance = &mut self.outside.chance;
            let request = RequestId::from_u128(chance.id());
            let max = u16::try_from(chance.within(1..4)).unwrap_or(1);
            let wait = Duration::from_secs(2);
            let ask =
                AcquireRequest { worker: self.id, request, python: PYTHON, tags: Tags::default(), max, wait };
            let Some(Answer::Granted(leases)) = self.outside.insist(Ask::Acquire(ask), 3).await else {
                continue;
            };
            if self.outside.chance.permille(30) && !self.outside.healed() {
                // The answer reached a worker that dies of it.
                return;
            }
            self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(&leases);
            let started = Ask::Started(self.id, leases.clone());
            self.outside.ask(started).await;
            for lease in leases {
                if self.outside.chance.permille(40) && !self.outside.healed() {
                    tokio::spawn(self.ghost().run_one(lease));
                    return;
                }
                self.ghost().run_one(lease).await;
            }
        }
    }

    /// Something that acts in this worker's name, whether it still lives or not.
    fn ghost(&mut self) -> Ghost {
        Ghost { outside: self.outside.fork(), id: self.id, held: Arc::clone(&self.held) }
    }

    fn beats(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let (mut outside, id, held) = (self.outside.fork(), self.id, Arc::clone(&self.held));
        let pause = self.heartbeat;
        async move {
            loop {
                tokio::time::sleep(pause).await;
                let leases = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let sent = clock::true_now();
                if let Some(Answer::Lost(lost)) = outside.ask(Ask::Beat(id, leases.clone())).await {
                    outside.audit.beat_answered(sent, &leases, &lost);
                    held.lock().unwrap_or_else(PoisonError::into_inner).retain(|lease| !lost.contains(lease));
                }
            }
        }
    }
}

struct Ghost {
    outside: Outside,
    id: WorkerId,
    held: Arc<Mutex<Vec<LeaseRef>>>,
}

impl Ghost {
    async fn run_one(mut self, lease: LeaseRef) {
        let healed = self.outside.healed();
        let chance = &mut self.outside.chance;
        let run = match chance.within(0..10) {
            // One that outlives its lease, or its bound.
            0 if !healed => chance.within(1000..9000),
            _ if !healed => chance.within(1..600),
            _ => chance.within(1..50),
        };
        tokio::time::sleep(Duration::from_millis(run)).await;
        let kind = self.outside.chance.within(0..100);
        let command = match kind {
            0..8 => failed(lease, FailureKind::Exception),
            8..10 => failed(lease, FailureKind::Crash { exit_code: None, signal: Some(9) }),
            10..13 => Command::Release(Release { lease }),
            _ => Command::Complete(Complete {
                lease,
                result: result_of(&lease, self.id),
                output: Output::default(),
            }),
        };
        self.report(lease, command).await;
        if self.outside.chance.permille(50) {
            // Says it again, or says something else of the same attempt.
            let late = Command::Complete(Complete {
                lease,
                result: result_of(&lease, self.id),
                output: Output::default(),
            });
            self.report(lease, late).await;
        }
    }

    async fn report(&mut self, lease: LeaseRef, command: Command) {
        let result =
            if let Command::Complete(complete) = &command { Some(complete.result.clone()) } else { None };
        let answer = self.outside.insist(Ask::Report(self.id, lease, Box::new(command)), ATTEMPTS).await;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|held| *held != lease);
        let Some(Answer::Replies(replies)) = answer else { return };
        if let (Some(result), [Ok(Accepted::Completed)]) = (result, &replies[..]) {
            self.outside.audit.complete_acknowledged(&lease, &result);
        }
    }
}

fn failed(lease: LeaseRef, kind: FailureKind) -> Command {
    let error = TaskError {
        kind,
        type_name: "builtins.ValueError".to_owned(),
        message: "simulated".to_owned(),
        traceback: String::new(),
        exception: None,
    };
    Command::Fail(Fail { lease, error, bases: Vec::new(), retryable: true, output: Output::default() })
}
