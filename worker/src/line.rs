//! The line to the leader: always either a connection, or an attempt to make one.

use std::pin::Pin;
use std::time::Duration;

use raftwork_api::stream::{FromWorker, ToWorker};
use uuid::Uuid;

use crate::agent::Input;
use crate::connection::{ConnectError, Connection, LostError, connect};
use crate::payloads::Payloads;
use crate::route::{Leg, Route};

/// A search that goes on is logged once in so many attempts: with the longest pause, about every half minute.
const LOG_EVERY: u32 = 30;

type Attempt = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

pub(crate) struct Line {
    http: reqwest::Client,
    route: Route,
    /// Who is told where the nodes are as well.
    payloads: Payloads,
    /// The node that is, or is to be, at the other end.
    url: String,
    state: State,
}

enum State {
    Dialing(Attempt),
    Open(Box<Connection>),
}

impl Line {
    pub(crate) fn new(http: reqwest::Client, urls: Vec<String>, payloads: Payloads) -> Self {
        let mut route = Route::new(urls);
        let leg = route.next(0);
        Self { state: State::Dialing(attempt(&http, &leg)), url: leg.url, http, route, payloads }
    }

    /// What the line brings next. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Input {
        loop {
            match &mut self.state {
                State::Dialing(attempt) => match attempt.await {
                    Ok(connection) => {
                        self.state = State::Open(Box::new(connection));
                        return Input::Connected;
                    }
                    Err(error) => self.not_connected(&error),
                },
                State::Open(connection) => {
                    let Connection { incoming, outgoing } = &mut **connection;
                    let message = tokio::select! {
                        biased;
                        message = incoming.next() => message,
                        never = outgoing.pump() => match never {},
                    };
                    return self.heard(message);
                }
            }
        }
    }

    /// What the line has brought already, without waiting.
    pub(crate) async fn next_ready(&mut self) -> Option<Input> {
        if matches!(self.state, State::Dialing(_)) {
            return None;
        }
        tokio::select! {
            biased;
            input = self.next() => Some(input),
            () = std::future::ready(()) => None,
        }
    }

    /// Says something to whoever is at the other end.
    pub(crate) fn send(&mut self, message: &FromWorker) {
        if let State::Open(connection) = &mut self.state {
            connection.outgoing.send(message);
        }
    }

    /// Leaves the node and looks for the leader, which may be at `leader`.
    pub(crate) fn hang_up(&mut self, leader: Option<&str>) {
        tracing::debug!(url = self.url, leader, "leaving a node that does not lead");
        self.dial(leader);
    }

    /// Ends the line for good.
    pub(crate) async fn close(mut self) {
        if let State::Open(connection) = &mut self.state {
            connection.outgoing.close().await;
        }
    }

    fn heard(&mut self, message: Result<ToWorker, LostError>) -> Input {
        match message {
            Ok(message) => {
                if let ToWorker::Welcome { heartbeat, ttl } = &message {
                    tracing::info!(
                        leader = self.url,
                        heartbeat_ms = heartbeat.0,
                        ttl_ms = ttl.0,
                        "connected to the leader"
                    );
                    self.route.arrived();
                    if let State::Open(connection) = &mut self.state {
                        connection.incoming.expect_every(Duration::from_millis(heartbeat.0));
                    }
                }
                if let ToWorker::Members(urls) = &message {
                    self.route.learn(urls.clone());
                    self.payloads.learn(self.route.urls());
                }
                Input::Received(message)
            }
            Err(error) => {
                tracing::warn!(url = self.url, %error, "lost the connection");
                self.dial(None);
                Input::Disconnected
            }
        }
    }

    fn not_connected(&mut self, error: &ConnectError) {
        let failures = self.route.failures();
        if failures.is_multiple_of(LOG_EVERY) {
            tracing::warn!(url = self.url, %error, failures, "no connection; trying the next node");
        } else {
            tracing::debug!(url = self.url, %error, failures, "no connection; trying the next node");
        }
        self.dial(None);
    }

    fn dial(&mut self, leader: Option<&str>) {
        self.route.failed(leader);
        let leg = self.route.next(draw());
        self.state = State::Dialing(attempt(&self.http, &leg));
        self.url = leg.url;
    }
}

fn attempt(http: &reqwest::Client, leg: &Leg) -> Attempt {
    let (http, Leg { url, pause }) = (http.clone(), leg.clone());
    Box::pin(async move {
        tokio::time::sleep(pause).await;
        connect(&http, &url).await
    })
}

/// A random number: 32 of the bits that a random UUID has.
fn draw() -> u32 {
    Uuid::new_v4().as_fields().0
}
