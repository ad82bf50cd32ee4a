//! Something that one has at a time, across awaits: a process is held while it is killed, stopped or started.

/// One thing and whose turn it is. Turns come in the order in which they were asked for.
#[expect(
    clippy::disallowed_types,
    reason = "whoever kills a node holds it until it is gone, which takes an await"
)]
pub(crate) type Turn<T> = tokio::sync::Mutex<T>;

/// The thing, while it is one's turn.
pub(crate) type Held<'a, T> = tokio::sync::MutexGuard<'a, T>;
