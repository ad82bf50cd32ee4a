//! Places at which a node can be made to crash or to stand still, to see that what it leaves is what it may leave.
//!
//! Compiled in with the feature `failpoints` alone, which nothing that is released has; without it `reach` is nothing.
//! `FAILPOINTS="log.before_write=100*off->return"` crashes a node the 101st time that it comes there; the crate `fail` has the
//! whole language, of which `return` means to crash here, as `kill -9` does.

/// Names of all places.
#[cfg(feature = "failpoints")]
pub const NAMES: &[&str] = &[
    "log.before_write",
    "log.after_write_before_sync",
    "log.after_sync_before_cb",
    "vote.before_sync",
    "vote.after_sync",
    "truncate.mid",
    "purge.after_marker",
    "apply.before_batch",
    "apply.after_batch",
    "apply.sleep",
    "snap.before_checkpoint",
    "snap.after_checkpoint_before_rename",
    "snap.recv_mid_file",
    "snap.before_current_swap",
    "snap.after_current_swap",
    "net.before_send_append",
    "net.after_recv_append",
    "propose.after_enqueue",
    "reply.before_send",
    "lease.before_grant_reply",
];

/// Names of all places: this build has none.
#[cfg(not(feature = "failpoints"))]
pub const NAMES: &[&str] = &[];

/// The settings of all places, while it lives.
pub struct Armed {
    #[cfg(feature = "failpoints")]
    _scenario: fail::FailScenario<'static>,
}

/// Takes the settings from the environment, if this build has places for them.
///
/// # Panics
/// If they are malformed.
pub fn arm() -> Armed {
    Armed {
        #[cfg(feature = "failpoints")]
        _scenario: fail::FailScenario::setup(),
    }
}

/// Comes to the place of this name.
#[cfg(feature = "failpoints")]
pub(crate) fn reach(name: &'static str) {
    debug_assert!(NAMES.contains(&name), "a place must be listed");
    fail::fail_point!(name, |_| crash(name));
}

/// Comes to the place of this name: this build has none.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn reach(_name: &'static str) {}

/// Ends the process at once: no destructor runs, and nothing more is written.
#[cfg(feature = "failpoints")]
fn crash(name: &'static str) {
    tracing::error!(name, "crashing, as FAILPOINTS says");
    std::process::abort();
}
