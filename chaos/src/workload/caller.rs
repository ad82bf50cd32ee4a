//! One process of the load: it has one call under way at a time, and a new number after one whose outcome it never learnt.

use std::sync::Arc;

use rand::seq::IndexedRandom;
use serde_json::Value;

use super::http::{Ask, Heard, outcome};
use super::shared::Shared;
use crate::history::{Call, Outcome, Reply};

/// A caller.
pub(super) struct Caller {
    pub(super) shared: Arc<Shared>,
    process: u64,
}

impl Caller {
    /// A caller with a number of its own.
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { process: shared.new_process(), shared: Arc::clone(shared) }
    }

    /// Some node.
    pub(super) fn some_node(&self) -> u64 {
        *self.shared.http.ids().choose(&mut rand::rng()).expect("a cluster has members")
    }

    /// Makes a call to a node, and notes it; `reply` reads the body of a success.
    pub(super) async fn call(
        &mut self,
        node: u64,
        call: Call,
        ask: Ask,
        reply: impl FnOnce(&Value) -> Option<Reply>,
    ) -> Outcome {
        let name = call.name();
        let op = self.begin(Some(node), call);
        let heard = self.shared.http.ask(node, &ask).await;
        let applied = if let Heard::Answer { applied, .. } = heard { applied } else { None };
        let outcome = outcome(ask.is_read(), &heard, reply).unwrap_or_else(|(outcome, surprise)| {
            self.shared.surprised(format!("node {node} answered a {name} with {surprise}"));
            outcome
        });
        self.end(op, applied, outcome.clone());
        outcome
    }

    /// Notes that a call is about to be made.
    pub(super) fn begin(&self, node: Option<u64>, call: Call) -> u64 {
        self.shared.recorder.invoke(self.process, node, call)
    }

    /// Notes what came of it.
    pub(super) fn end(&mut self, op: u64, index: Option<u64>, outcome: Outcome) {
        match &outcome {
            Outcome::Ok(_) => self.shared.count_acknowledged(),
            Outcome::Info { .. } => self.process = self.shared.new_process(),
            Outcome::Refused { .. } | Outcome::Fail { .. } => {}
        }
        self.shared.recorder.returned(op, index, outcome);
    }
}
