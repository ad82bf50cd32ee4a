//! Every length of time that the worker chooses for itself, with its reason. Heartbeat and TTL come from the leader.

use std::time::Duration;

/// Longest wait for a TCP connection and for the answer to the upgrade; also the longest silence before the leader
/// has said how often it wants to hear a heartbeat. A live node answers within one election.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(2);

/// Shortest silence that counts as a dead peer, whatever the heartbeat: below it, a busy machine looks dead.
pub(crate) const SILENCE_MIN: Duration = Duration::from_millis(500);

/// Unacknowledged bytes end a TCP connection after this long; retransmission alone would take many minutes.
pub(crate) const TCP_UNACKNOWLEDGED: Duration = Duration::from_secs(10);

/// Bounds of the pause between two attempts to find a leader. An election takes about a second, so pausing longer
/// than that would itself be the fail-over time.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// See [`BACKOFF_MIN`].
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Shortest time between two messages about progress: people look at it, and see no more than a few changes a second.
pub(crate) const PROGRESS: Duration = Duration::from_millis(250);

/// What is not answered after this long is said again. A node drops what a full queue does not take, and a repeat is
/// harmless: the cluster knows reports by their lease and asks by their id.
pub(crate) const SAY_AGAIN: Duration = Duration::from_secs(5);

/// How long news may wait for more while all slots have their next task: a few of the tiny tasks for which this is meant,
/// and little beside the time that tasks spend waiting for a slot then.
pub(crate) const GATHER: Duration = Duration::from_millis(1);

/// How long a leaving worker with no task left tries to deliver its last reports.
pub(crate) const REPORT_LINGER: Duration = Duration::from_secs(10);

/// How long a worker that was told to stop at once tries to give its tasks back.
pub(crate) const STOP_LINGER: Duration = Duration::from_secs(1);

/// How long the end of a connection may take when the worker leaves.
pub(crate) const CLOSE: Duration = Duration::from_secs(1);

/// Bounds of the pause after a task could not be given to a child. It keeps a worker whose Python is broken from
/// taking and returning every task of the cluster as fast as it can.
pub(crate) const TROUBLE_MIN: Duration = Duration::from_millis(100);
/// See [`TROUBLE_MIN`].
pub(crate) const TROUBLE_MAX: Duration = Duration::from_secs(5);

/// A connection that carried no byte for this long is dead: two heartbeats went unanswered, and the half is for the
/// quorum round behind an answer.
pub(crate) fn silence(heartbeat: Duration) -> Duration {
    (heartbeat * 5 / 2).max(SILENCE_MIN)
}

/// How long after the send time of the last answered heartbeat a worker trusts its leases. The quarter that is left of
/// the TTL is room for the polite half of the kill, and for clocks that do not run equally fast.
pub(crate) fn trust(ttl: Duration) -> Duration {
    ttl * 3 / 4
}
