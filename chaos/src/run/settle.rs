//! The end of a run: everything is mended, what was accepted ends, and every node is asked once more.

use std::time::Duration;

use anyhow::{bail, ensure};
use tokio::time::{Instant, sleep};

use crate::check::digests::{Verdict, judge};
use crate::cluster::Views;
use crate::history::{Event, NodeDigest};
use crate::workload::Shared;

/// How long everything that was accepted may take to end: leases of vanished workers run out, retries pause.
const DRAINED_WITHIN: Duration = Duration::from_mins(2);
/// How long nodes may take to be at the same entry once nothing happens any more.
const EQUAL_WITHIN: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until no task lives any more; false if that takes too long.
pub(super) async fn drained(views: &Views) -> bool {
    let deadline = Instant::now() + DRAINED_WITHIN;
    let mut quiet = 0;
    while Instant::now() < deadline {
        let leader = views.leader().await;
        let is_empty = leader.is_some_and(|view| view.info.tasks.values().sum::<u64>() == 0);
        quiet = if is_empty { quiet + 1 } else { 0 };
        // Twice in a row: a leader that was just elected may not have told all yet.
        if quiet == 2 {
            return true;
        }
        sleep(PAUSE).await;
    }
    false
}

/// Waits until every node can serve.
///
/// # Errors
/// When one cannot in time.
pub(super) async fn ready(views: &Views) -> anyhow::Result<()> {
    let deadline = Instant::now() + DRAINED_WITHIN;
    for id in views.ids() {
        while !views.is_ready(id).await {
            ensure!(
                Instant::now() < deadline,
                "node {id} cannot serve {DRAINED_WITHIN:?} after it was started again"
            );
            sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// Notes the digest of every node's state as of one entry.
///
/// # Errors
/// When the nodes do not come to stand at the same entry.
pub(super) async fn digests(views: &Views, shared: &Shared) -> anyhow::Result<()> {
    let deadline = Instant::now() + EQUAL_WITHIN;
    loop {
        let mut digests = Vec::new();
        for id in views.ids() {
            digests.extend(views.digest(id).await);
        }
        let all = digests.len() == views.ids().len();
        let verdict = judge(&digests);
        if all && verdict != Verdict::Unsettled {
            for told in digests {
                let digest = NodeDigest { node: told.node, applied: told.applied, digest: told.digest };
                shared.recorder.record(Event::Digest(digest));
            }
            ensure!(matches!(verdict, Verdict::Equal { .. }), "the nodes have diverged: {verdict:?}");
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the nodes are still at different entries {EQUAL_WITHIN:?} after the load ended");
        }
        sleep(PAUSE).await;
    }
}
