//! Where finished tasks arrive.

use bytes::Bytes;
use raftwork_api::kernel::{Record, TaskId};
use tokio::sync::mpsc;

use crate::session::Request;

/// A task that has ended, with its terminal record; `None` if there is no such task.
pub type Finished = (TaskId, Option<Record>);

/// Where the session puts what a watcher waits for.
///
/// Unbounded, because what it can hold is bounded by what was watched: each watched task arrives once.
pub(crate) type Sink = mpsc::UnboundedSender<Vec<Finished>>;

/// Names tasks whose records shall arrive at the [`FinishedTasks`] made with it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watcher {
    pub(crate) sink: Sink,
    requests: mpsc::Sender<Request>,
}

impl Watcher {
    pub(crate) fn new(requests: mpsc::Sender<Request>) -> (Self, FinishedTasks) {
        let (sink, received) = mpsc::unbounded_channel();
        let finished = FinishedTasks { received, client: requests.clone() };
        (Self { sink, requests }, finished)
    }

    /// Watches tasks that were submitted before, by anybody; those that have ended arrive at once.
    ///
    /// The watch survives fail-over, however long it takes. Watching a task twice delivers it twice.
    pub async fn watch(&self, tasks: Vec<TaskId>) {
        let request = Request::Watch { tasks, sink: self.sink.clone() };
        // An error means that the client's task has ended; the receiving side reports that.
        let _ = self.requests.send(request).await;
    }
}

/// Receives the records of watched tasks, in the order in which they ended, as many at a time as there are.
#[derive(Debug)]
pub struct FinishedTasks {
    received: mpsc::UnboundedReceiver<Vec<Finished>>,
    client: mpsc::Sender<Request>,
}

impl FinishedTasks {
    /// The next records; `None` when none will ever come, because the client is gone.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Vec<Finished>> {
        tokio::select! {
            biased;
            batch = self.received.recv() => batch,
            () = self.client.closed() => None,
        }
    }
}

/// What a watch or a submit is encoded into before the session sees it.
pub(crate) type Encoded = Bytes;
