//! Follows the cluster during a run: who leads, and how much there is to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::cluster::Views;
use crate::history::{Event, Leader};
use crate::workload::Shared;

/// Pause between two looks: much shorter than an election.
const PAUSE: Duration = Duration::from_millis(150);

/// The running watch; dropping it ends it.
pub(super) struct Watch(AbortHandle);

impl Watch {
    pub(super) fn start(views: Views, shared: Arc<Shared>) -> Self {
        Self(tokio::spawn(follow(views, shared)).abort_handle())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(views: Views, shared: Arc<Shared>) {
    let mut last = None;
    loop {
        if let Some(view) = views.leader().await {
            shared.set_live(view.info.tasks.values().sum());
            let leader = Leader { node: view.node, term: view.info.term };
            if last.is_none_or(|last: Leader| last.term < leader.term) {
                shared.recorder.record(Event::Leader(leader));
                last = Some(leader);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
