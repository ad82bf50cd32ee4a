//! The one task that owns a client's connection: finds the leader, moves frames, tells the session what happened.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until};

use crate::dial::{DialError, Link, dial};
use crate::discovery::{Attempt, Discovery};
use crate::nodes::Nodes;
use crate::session::{Next, Request, Session};
use crate::settings::Settings;

/// Silence after which a sign of life is asked for, as a part of the silence that is allowed.
const PING_PART: u32 = 4;

/// See the module.
pub(crate) struct Runner {
    requests: mpsc::Receiver<Request>,
    http: reqwest::Client,
    settings: Settings,
    session: Session,
    discovery: Discovery,
    nodes: Arc<Nodes>,
}

/// Every handle is gone: nobody is left to answer.
struct Abandoned;

/// How a connection ended.
enum Ended {
    /// The node does not lead.
    NotLeader(Option<String>),
    /// It broke, for this reason.
    Lost(String),
}

impl Runner {
    pub(crate) fn new(
        requests: mpsc::Receiver<Request>,
        http: reqwest::Client,
        nodes: Arc<Nodes>,
        settings: Settings,
    ) -> Self {
        let discovery = Discovery::new(nodes.urls());
        Self { requests, http, settings, session: Session::new(), discovery, nodes }
    }

    /// Serves the handles until the last one is gone.
    pub(crate) async fn run(mut self) {
        while let Ok((url, link)) = self.connect().await {
            tracing::debug!(%url, "connected");
            self.session.linked();
            match self.serve(&url, link).await {
                Ok(Ended::NotLeader(leader)) => {
                    tracing::debug!(%url, ?leader, "the node does not lead");
                    self.session.unlinked(format!("{url} does not lead"));
                    self.discovery.redirected(leader);
                }
                Ok(Ended::Lost(reason)) => {
                    tracing::debug!(%url, %reason, "lost the connection");
                    self.session.unlinked(format!("lost the connection to {url}: {reason}"));
                    self.discovery.failed();
                }
                Err(Abandoned) => return,
            }
        }
    }

    /// Waits until a connection is needed, then tries nodes until one gives a stream.
    async fn connect(&mut self) -> Result<(String, Link), Abandoned> {
        loop {
            while !self.session.needs_link() {
                let request = self.requests.recv().await.ok_or(Abandoned)?;
                self.session.ask(request);
            }
            self.discovery.learn(self.nodes.urls());
            let Attempt { url, pause } = self.discovery.attempt(random());
            let (http, limit) = (self.http.clone(), self.settings.dial_timeout);
            let target = url.clone();
            let attempt = async move {
                sleep(pause).await;
                dial(http, target, limit).await
            };
            match self.meanwhile(attempt).await? {
                Ok(link) => return Ok((url, link)),
                Err(error) => self.note(error),
            }
        }
    }

    fn note(&mut self, error: DialError) {
        tracing::debug!(%error, "no stream");
        self.session.unlinked(error.to_string());
        match error {
            DialError::NotLeader { leader, .. } => self.discovery.redirected(leader),
            DialError::Failed { .. } => self.discovery.failed(),
        }
    }

    /// Takes requests in and lets patience end while there is no connection.
    async fn meanwhile<T>(&mut self, attempt: impl Future<Output = T>) -> Result<T, Abandoned> {
        let mut attempt = std::pin::pin!(attempt);
        loop {
            tokio::select! {
                done = &mut attempt => return Ok(done),
                request = self.requests.recv(), if self.session.has_room() => {
                    self.session.ask(request.ok_or(Abandoned)?);
                }
                () = wake(self.session.next_wake()) => self.session.tick(Instant::now()),
            }
        }
    }

    /// Moves frames until the connection ends.
    async fn serve(&mut self, url: &str, link: Link) -> Result<Ended, Abandoned> {
        let Link { mut reader, writer } = link;
        let mut life = Life::new(Instant::now(), self.settings.silence_max);
        loop {
            while let Some(frame) = self.session.outgoing().front()
                && writer.try_send(frame.clone()).is_ok()
            {
                self.session.outgoing().pop_front();
            }
            let blocked = self.session.outgoing().front().cloned();
            let is_blocked = blocked.is_some();
            tokio::select! {
                received = reader.next() => {
                    let now = Instant::now();
                    life.heard(now);
                    match received.map_err(|error| error.to_string()) {
                        Ok(Some(frame)) => match self.session.frame(now, &frame) {
                            Ok(Next::Stay) => self.discovery.settled(url),
                            Ok(Next::Learn(members)) => self.nodes.learn(members),
                            Ok(Next::Move(leader)) => return Ok(Ended::NotLeader(leader)),
                            Err(reason) => return Ok(Ended::Lost(reason)),
                        },
                        Ok(None) => return Ok(Ended::Lost("the node closed it".to_owned())),
                        Err(reason) => return Ok(Ended::Lost(reason)),
                    }
                }
                request = self.requests.recv(), if self.session.has_room() => {
                    self.session.ask(request.ok_or(Abandoned)?);
                }
                sent = async { writer.send(blocked.expect("guarded")).await }, if is_blocked => match sent {
                    Ok(()) => drop(self.session.outgoing().pop_front()),
                    Err(error) => return Ok(Ended::Lost(error.to_string())),
                },
                () = wake(self.session.next_wake()) => self.session.tick(Instant::now()),
                () = sleep_until(life.next().into()) => {
                    match life.step(Instant::now(), self.session.needs_link()) {
                        Sign::Fine => {}
                        Sign::Ask => self.session.ping(),
                        Sign::Dead => return Ok(Ended::Lost(life.complaint())),
                    }
                }
            }
        }
    }
}

/// Whether the node still says anything.
struct Life {
    silence_max: Duration,
    heard: Instant,
    next: Instant,
    asked: bool,
}

/// What silence means.
enum Sign {
    Fine,
    Ask,
    Dead,
}

impl Life {
    fn new(now: Instant, silence_max: Duration) -> Self {
        Self { silence_max, heard: now, next: now + silence_max / PING_PART, asked: false }
    }

    fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = false;
    }

    /// When to look next. Moved only when that moment comes, so that a busy stream never touches a timer.
    const fn next(&self) -> Instant {
        self.next
    }

    fn step(&mut self, now: Instant, needed: bool) -> Sign {
        let silence = now.saturating_duration_since(self.heard);
        self.next = now + self.silence_max / PING_PART;
        if !needed || silence < self.silence_max / PING_PART {
            // Without a reason to talk, silence means nothing; what counts begins when there is one.
            self.heard = if needed { self.heard } else { now };
            return Sign::Fine;
        }
        if silence >= self.silence_max {
            return Sign::Dead;
        }
        if std::mem::replace(&mut self.asked, true) { Sign::Fine } else { Sign::Ask }
    }

    fn complaint(&self) -> String {
        format!("the node said nothing for {:?}", self.silence_max)
    }
}

async fn wake(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A number that differs between processes and calls; nothing depends on its quality.
fn random() -> u64 {
    RandomState::new().hash_one(Instant::now())
}
