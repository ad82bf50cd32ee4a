//! Changes of the membership: what the next step is, decided by a pure function, and taking it.
//!
//! A wish ("node 4 shall vote", "node 3 shall be gone") is compared with the membership that is there, and the step that
//! leads towards it is taken, until there is none. So a wish can be repeated after a lost answer or on another leader, and
//! goes on where it was. Nothing is remembered but the membership itself.

mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

pub use self::plan::{Refusal, Wish};
use self::plan::{Step, View, next_step};
use super::{Group, RaftNode, Unavailable, not_leader};
use crate::raft::handle::{ChangeError, RaftStatus};
use crate::raft::membership::Change;
use crate::raft::types::NodeId;

/// Pause between two looks at a node that catches up, and before a change is tried again.
const LOOK: Duration = Duration::from_millis(50);
/// Silence after which a node counts as one that does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait for a change to be committed. With a majority of healthy nodes it takes two rounds.
const COMMITTED_WITHIN: Duration = Duration::from_secs(10);
/// How often a leader looks whether it was left a change that nobody finishes.
const TEND: Duration = Duration::from_millis(500);

/// How far a wish has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is fulfilled.
    Done,
    /// The new node lacks so many entries, and has no vote yet.
    CatchingUp {
        /// Entries.
        lag: u64,
    },
}

/// Why a wish is not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The group cannot say now; repeat it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// It must not be.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Group {
    /// Changes the membership until `wish` is fulfilled, or `deadline` comes while a node catches up.
    ///
    /// # Errors
    /// When this node does not lead (any more), or the wish would break the cluster.
    pub async fn change_members(&self, wish: &Wish, deadline: Instant) -> Result<Progress, MemberError> {
        loop {
            self.inner.reign.check()?;
            let step = next_step(wish, &view(&self.status()))?;
            if step != Step::Done && !matches!(step, Step::CatchUp { .. }) {
                tracing::info!(?wish, ?step, "changing the membership");
            }
            match step {
                Step::Done => return Ok(Progress::Done),
                Step::CatchUp { lag } if Instant::now() >= deadline => {
                    return Ok(Progress::CatchingUp { lag });
                }
                Step::CatchUp { .. } => sleep(LOOK).await,
                Step::HandOver { to } => {
                    self.transfer(Some(to)).await?;
                    return Err(self.inner.reign.unavailable().into());
                }
                Step::Change(change) => self.change(change).await?,
            }
        }
    }

    /// One change at a time. It is carried through even if whoever asked for it has gone.
    async fn change(&self, change: Change) -> Result<(), Unavailable> {
        let Ok(turn) = Arc::clone(&self.inner.changing).try_acquire_owned() else {
            sleep(LOOK).await;
            return Ok(());
        };
        let raft = self.inner.raft.clone();
        let changing = tokio::spawn(async move {
            let _turn = turn;
            commit(&raft, change).await
        });
        changing.await.unwrap_or(Err(Unavailable::Stopping))
    }

    /// Finishes, while this node leads, what an earlier leader began: a membership is never left with two sets of voters.
    pub(crate) async fn tend_members(self) {
        while self.inner.reign.begun().await {
            sleep(TEND).await;
            let status = self.status();
            if !self.inner.reign.leads() || status.configs.len() < 2 || !status.members_settled {
                continue;
            }
            if let Err(error) = self.change(Change::Finish).await {
                tracing::debug!(%error, "an unfinished change of the membership stays unfinished for now");
            }
        }
    }
}

async fn commit(raft: &RaftNode, change: Change) -> Result<(), Unavailable> {
    let changed = timeout_at(Instant::now() + COMMITTED_WITHIN, raft.change_members(change)).await;
    let unknown = |reason: String| Unavailable::Unknown { reason };
    match changed {
        Err(_) => Err(unknown(format!(
            "no majority has taken the change of the membership within {COMMITTED_WITHIN:?}; it stands once one has"
        ))),
        Ok(Ok(())) => Ok(()),
        Ok(Err(ChangeError::NotLeader { leader })) => Err(not_leader(leader)),
        Ok(Err(ChangeError::Unknown)) => Err(unknown(ChangeError::Unknown.to_string())),
        Ok(Err(ChangeError::Stopped(_))) => Err(Unavailable::Stopping),
        // Another change is under way, or the leader is new: the next look shows what is left to do.
        Ok(Err(ChangeError::NotNow(reason))) => {
            tracing::debug!(reason, "the membership cannot be changed at the moment");
            sleep(LOOK).await;
            Ok(())
        }
    }
}

/// Whether a node has answered this one, which leads, lately.
pub(super) fn answers(status: &RaftStatus, node: NodeId) -> bool {
    node == status.node || status.heard.get(&node).is_some_and(|at| at.elapsed() < ANSWERS_WITHIN)
}

fn view(status: &RaftStatus) -> View {
    let healthy = status.peers.keys().filter(|id| answers(status, **id)).copied();
    let last = status.last.unwrap_or(0);
    let matched: BTreeMap<_, _> = status.replicated.iter().map(|(id, at)| (*id, at.unwrap_or(0))).collect();
    View {
        own: status.node,
        configs: status.configs.clone(),
        peers: status.peers.clone(),
        lags: matched.into_iter().map(|(id, at)| (id, last.saturating_sub(at))).collect(),
        healthy: healthy.collect(),
    }
}
