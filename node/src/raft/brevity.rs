//! Keeps the log short by size. openraft counts entries, but 50,000 of them are some megabytes here and some gigabytes there: a
//! disk would run full, and a start would read it all.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::sleep;

use super::settings::RaftSettings;
use super::transfer::Machine;
use super::types::Raft;
use crate::store::log::LogSize;

/// How often the log is looked at. What a busy disk writes within it is the coarseness of the bound.
const LOOK: Duration = Duration::from_secs(1);

/// Asks for a snapshot when the log has grown beyond its bytes, and drops what that covers, until Raft ends.
pub(super) async fn keep_short<SM: Machine>(raft: Raft<SM>, log: LogSize, settings: RaftSettings) {
    // One snapshot is asked for at a time; until it is there, a second would not help.
    let mut asked = None;
    loop {
        sleep(LOOK).await;
        let Some(bytes) = log.bytes() else { return };
        if bytes <= settings.log_bytes_max {
            continue;
        }
        let Some(end) = log.leaving(settings.log_bytes_kept) else { continue };
        let snapshot = raft.metrics().borrow_watched().snapshot.map(|last| last.index);
        let told = match snapshot {
            Some(covered) if covered >= end => raft.trigger().purge_log(end).await,
            _ if asked == Some(snapshot) => continue,
            _ => {
                asked = Some(snapshot);
                raft.trigger().snapshot().await
            }
        };
        if told.is_err() {
            return;
        }
    }
}
