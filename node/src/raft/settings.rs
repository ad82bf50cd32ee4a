//! How Raft is set up, and why not as openraft does by itself.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};

/// What a node may choose about Raft. [`RaftSettings::default`] suits one machine or one data centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftSettings {
    /// How often a leader is heard from. It is also the longest that a heartbeat may take, a follower's fsync included.
    pub heartbeat: Duration,
    /// Shortest time without a leader before an election, on top of the time for which the old one may still lead.
    pub election_min: Duration,
    /// Longest such time, and how long a leader that nobody hears may still be believed.
    pub election_max: Duration,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Entries that are kept although a snapshot covers them, for followers that come back.
    pub keep_entries: u64,
    /// Bytes of the log beyond which a snapshot is made, however few its entries are.
    pub log_bytes_max: u64,
    /// Bytes of entries that are kept then although the snapshot covers them.
    pub log_bytes_kept: u64,
    /// Time for a snapshot to make progress, or to be installed.
    pub snapshot_timeout: Duration,
}

impl Default for RaftSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(250),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(900),
            snapshot_every: 50_000,
            keep_entries: 20_000,
            log_bytes_max: 256 << 20,
            log_bytes_kept: 128 << 20,
            snapshot_timeout: Duration::from_secs(80),
        }
    }
}

impl RaftSettings {
    /// Time for a follower to answer an append, which carries megabytes to a disk.
    pub fn append_timeout(&self) -> Duration {
        self.election_max
    }

    /// openraft's configuration. Errors: the times contradict one another.
    pub fn config(&self, cluster: &str) -> Result<Arc<Config>, ConfigError> {
        let config = Config {
            cluster_name: cluster.to_owned(),
            heartbeat_interval: millis(self.heartbeat),
            election_timeout_min: millis(self.election_min),
            election_timeout_max: millis(self.election_max),
            // A node that was cut off comes back without making everybody elect anew.
            enable_pre_vote: Some(true),
            // A leader without a majority falls silent, so that a half-connected follower cannot keep believing in it
            // while the others elect. openraft demands at least twice the longest election time.
            quorum_loss_probe_interval: Some(millis(self.election_max) * 2 + 100),
            // The state machine is not flushed with every entry: a restarted leader must be elected before it answers.
            enable_leader_restore: Some(false),
            // Followers write while the leader does; waiting for more would be in vain, for entries are batched before.
            broadcast_submitted_on_append: Some(true),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            max_in_snapshot_log_to_keep: self.keep_entries,
            // One purge for many entries: each costs a range tombstone and a look at the files.
            purge_batch_size: (self.keep_entries / 20).clamp(1, 1000),
            // Beyond the last snapshot and what is kept with it, entries are gone and only a snapshot helps.
            replication_lag_threshold: (self.snapshot_every + self.keep_entries) * 3,
            install_snapshot_timeout: millis(self.snapshot_timeout),
            // The log hands out some megabytes at a time, whatever their number.
            max_payload_entries: 4096,
            // A peer that comes back waits at most half a second to be tried again.
            backoff: "50ms 100ms 200ms ..500ms".to_owned(),
            ..Config::default()
        };
        Ok(Arc::new(config.validate()?))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        RaftSettings::default().config("main").unwrap();
    }

    #[test]
    fn a_heartbeat_slower_than_an_election_is_refused() {
        let settings = RaftSettings { heartbeat: Duration::from_secs(1), ..RaftSettings::default() };
        assert!(settings.config("main").is_err());
    }
}
