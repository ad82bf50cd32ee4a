//! Those outside of the cluster: how clients and workers find the leader and live with silence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raftwork_node::group::Unavailable;
use tokio::sync::oneshot;

use crate::audit::Audit;
use crate::chance::Chance;
use crate::clock;
use crate::host::{Answer, Ask, Call, Calls};
use crate::net::{Net, Place};

/// How long a caller waits before it calls the outcome unknown.
const PATIENCE: Duration = Duration::from_secs(3);
/// Pause after a failed attempt.
const RETRY: Duration = Duration::from_millis(150);

/// Which nodes can be called; kept by the world.
pub(crate) type Directory = Arc<Mutex<BTreeMap<Place, Calls>>>;

/// What becomes of the simulation, as those outside need to know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Season {
    /// Faults are over: nobody misbehaves any more, and nothing new is submitted.
    pub(crate) healed: bool,
    /// Until this true time, readers look closely.
    pub(crate) closely_until: u64,
}

/// One outside: a place in the network, and an idea of who leads.
pub(crate) struct Outside {
    pub(crate) place: Place,
    pub(crate) net: Net,
    pub(crate) audit: Audit,
    pub(crate) chance: Chance,
    pub(crate) season: Arc<Mutex<Season>>,
    pub(crate) directory: Directory,
    pub(crate) nodes: u64,
    pub(crate) leader: Place,
}

impl Outside {
    pub(crate) fn healed(&self) -> bool {
        self.season().healed
    }

    /// Whether readers are to look closely now.
    pub(crate) fn looks_closely(&self) -> bool {
        clock::true_now() < self.season().closely_until
    }

    fn season(&self) -> Season {
        *self.season.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another outside at another place: what this one does beside.
    pub(crate) fn fork(&mut self) -> Self {
        Self {
            place: self.place,
            net: self.net.clone(),
            audit: self.audit.clone(),
            chance: self.chance.fork(),
            season: Arc::clone(&self.season),
            directory: Arc::clone(&self.directory),
            nodes: self.nodes,
            leader: self.leader,
        }
    }

    /// Asks whoever is thought to lead, once. `None`: no answer, or not from the leader.
    pub(crate) async fn ask(&mut self, ask: Ask) -> Option<Answer> {
        match self.call(self.leader, ask).await {
            Some(Ok(answer)) => return Some(answer),
            Some(Err(Unavailable::NotLeader { leader })) => self.leader = leader.id,
            Some(Err(Unavailable::Busy { .. } | Unavailable::Unknown { .. })) => {}
            Some(Err(Unavailable::NoLeader | Unavailable::Stopping)) | None => {
                self.leader = self.chance.within(1..self.nodes + 1);
            }
        }
        None
    }

    /// Asks until somebody answers, or the caller's patience is over.
    pub(crate) async fn insist(&mut self, ask: Ask, attempts: u32) -> Option<Answer> {
        for _ in 0..attempts {
            if let Some(answer) = self.ask(ask.clone()).await {
                return Some(answer);
            }
            tokio::time::sleep(RETRY).await;
        }
        None
    }

    async fn call(&mut self, node: Place, ask: Ask) -> Option<Result<Answer, Unavailable>> {
        let patience = if let Ask::Acquire(ask) = &ask { ask.wait + PATIENCE } else { PATIENCE };
        if self.net.doubles() && matches!(ask, Ask::Propose(_) | Ask::Report(..)) {
            drop(self.send(node, ask.clone()));
        }
        let answer = self.send(node, ask);
        let Some(answer) = answer else {
            tokio::time::sleep(PATIENCE).await;
            return None;
        };
        let (arrives, answer) = tokio::time::timeout(patience, answer).await.ok()?.ok()?;
        let early = arrives.saturating_sub(clock::true_now());
        tokio::time::sleep(Duration::from_nanos(early)).await;
        Some(answer)
    }

    /// Sends an ask; `None` if it is lost on its way.
    fn send(
        &mut self,
        node: Place,
        ask: Ask,
    ) -> Option<oneshot::Receiver<(u64, Result<Answer, Unavailable>)>> {
        let arrives = clock::true_now() + self.net.delay(self.place, node);
        if self.net.loses(self.place, node) {
            return None;
        }
        let calls = self.directory.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()?;
        let (answer, answered) = oneshot::channel();
        self.net.trace.event("call", &[self.place, node, arrives], format!("{ask:?}").as_bytes());
        calls.send(Call { from: self.place, arrives, ask, answer }).ok()?;
        Some(answered)
    }
}
