//! The handle that callers hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use raftwork_api::frame::PAYLOAD_BYTES_MAX;
use raftwork_api::kernel::{
    Accepted, Cancel, FunctionId, Record, Rejection, Rules, Status, Submit, SubmitUnder, TaskId, Token,
    encode,
};
use raftwork_api::parts::WHOLE_BYTES_MAX;
use raftwork_api::stream::{FromClient, ToClient};
use raftwork_api::task_of_redrive;
use tokio::sync::{mpsc, oneshot};

use crate::dial::http_client;
use crate::error::{
    CancelError, ConnectError, RedriveError, RegisterError, ResultError, StatusError, SubmitError,
    Unavailable,
};
use crate::function::NewFunction;
use crate::nodes::Nodes;
use crate::rest::Rest;
use crate::runner::Runner;
use crate::session::{Call, Request};
use crate::settings::{Settings, base_urls};
use crate::watch::{FinishedTasks, Sink, Watcher};

/// Requests that may wait between the handles and the connection's task.
const QUEUE: usize = 256;

/// A client of one cluster. Cheap to clone; all clones share one connection, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    rest: Rest,
    patience: Duration,
}

impl Client {
    /// A client of the cluster whose nodes have these base URLs (any of them will do; more survive more).
    ///
    /// Nothing is sent before the first request. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a URL cannot be one.
    pub fn connect<I>(urls: I) -> Result<Self, ConnectError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::with_settings(urls, Settings::default())
    }

    /// As [`Client::connect`], with other settings.
    ///
    /// # Errors
    /// When a URL cannot be one.
    pub fn with_settings<I>(urls: I, settings: Settings) -> Result<Self, ConnectError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let urls = base_urls(urls)?;
        let http = http_client()?;
        let (requests, received) = mpsc::channel(QUEUE);
        let patience = settings.patience;
        let nodes = Arc::new(Nodes::new(urls));
        let rest = Rest::new(http.clone(), Arc::clone(&nodes), patience);
        tokio::spawn(Runner::new(received, http, nodes, settings).run());
        Ok(Self { requests, rest, patience })
    }

    /// Plain HTTP requests to the same cluster.
    pub const fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Makes a function known and returns its id. The same function always has the same id, so repeating is harmless.
    ///
    /// # Errors
    /// When the cluster refuses, or no leader answers in time.
    pub async fn register(&self, function: &NewFunction) -> Result<FunctionId, RegisterError> {
        let register = function.to_register();
        let id = register.function;
        let answer = self.call(&FromClient::Register(register), None).await?;
        expect_accepted(answer).map_err(Failure::into_register)?;
        Ok(id)
    }

    /// Submits tasks of one function, all or none. `Ok` means that they are durable: the number that this submit made.
    ///
    /// The caller chooses the task ids ([`crate::new_task_id`]), and so may repeat the submit, even from another process.
    /// With a watcher, the record of each task arrives there when it ends.
    ///
    /// # Errors
    /// When the cluster refuses, the batch is too large, or no leader answers in time.
    pub async fn submit(&self, submit: Submit, watcher: Option<&Watcher>) -> Result<u32, SubmitError> {
        self.submit_under(submit, Rules::default(), watcher).await
    }

    /// As [`Client::submit`], with what options cannot say: tags, for one.
    ///
    /// The arguments of a task that is submitted alone may be large, up to 256 MiB: they are sent in parts.
    ///
    /// # Errors
    /// As [`Client::submit`]; and when a rule makes no sense.
    pub async fn submit_under(
        &self,
        submit: Submit,
        rules: Rules,
        watcher: Option<&Watcher>,
    ) -> Result<u32, SubmitError> {
        if let [(task, args)] = &*submit.items
            && args.len() > WHOLE_BYTES_MAX
        {
            let call = (submit.function, submit.options.clone());
            return self.submit_in_parts(call, (*task, args.clone()), &rules, watcher).await;
        }
        self.submit_whole(submit, rules, watcher).await
    }

    pub(crate) async fn submit_whole(
        &self,
        submit: Submit,
        rules: Rules,
        watcher: Option<&Watcher>,
    ) -> Result<u32, SubmitError> {
        let watching = watcher.map(|watcher| {
            let tasks = submit.items.iter().map(|(task, _)| *task).collect();
            (tasks, watcher.sink.clone())
        });
        let watch = watching.is_some();
        let message = if rules.is_empty() {
            FromClient::Submit { submit, watch }
        } else {
            FromClient::SubmitUnder { submit: SubmitUnder { submit, rules }, watch }
        };
        let message = Bytes::from(encode(&message));
        if message.len() > PAYLOAD_BYTES_MAX {
            return Err(SubmitError::TooLarge { bytes: message.len(), limit: PAYLOAD_BYTES_MAX });
        }
        match expect_accepted(self.call_encoded(message, watching).await?) {
            Ok(Accepted::Submitted { created }) => Ok(created),
            Ok(_) => Err(Failure::OffContract.into_submit()),
            Err(failure) => Err(failure.into_submit()),
        }
    }

    /// A pair that watches tasks: names go in at one end, records come out at the other.
    pub fn watcher(&self) -> (Watcher, FinishedTasks) {
        Watcher::new(self.requests.clone())
    }

    /// Where a task stands, and the token of its newest grant.
    ///
    /// # Errors
    /// When there is no such task, or no leader answers in time.
    pub async fn status(&self, task: TaskId) -> Result<(Status, Token), StatusError> {
        match self.call(&FromClient::Status(task), None).await? {
            ToClient::Status(found) => found.ok_or(StatusError::UnknownTask(task)),
            ToClient::Reply(Err(rejection)) => Err(rejection.into()),
            ToClient::Reply(Ok(_))
            | ToClient::Watching
            | ToClient::Finished(_)
            | ToClient::NotLeader { .. }
            | ToClient::Busy { .. }
            | ToClient::Unknown { .. }
            | ToClient::Members(_) => Err(off_contract().into()),
        }
    }

    /// Ends a task before it ends itself. A task that has not started never will.
    ///
    /// # Errors
    /// When there is no such task, it has ended, or no leader answers in time.
    pub async fn cancel(&self, task: TaskId) -> Result<(), CancelError> {
        let answer = self.call(&FromClient::Cancel(Cancel { task }), None).await?;
        match expect_accepted(answer) {
            Ok(_) => Ok(()),
            Err(Failure::Rejected(Rejection::UnknownTask(task))) => Err(CancelError::UnknownTask(task)),
            Err(Failure::Rejected(Rejection::AlreadyFinished { task, status })) => {
                Err(CancelError::AlreadyFinished { task, status })
            }
            Err(Failure::Rejected(rejection)) => Err(CancelError::Rejected(rejection)),
            Err(Failure::OffContract) => Err(CancelError::Unavailable(off_contract())),
        }
    }

    /// Runs a task that failed or was parked again, as a task of its own, whose id it returns. A task has one redrive:
    /// repeating this names the same.
    ///
    /// # Errors
    /// When there is no such task, it has not failed, or no leader answers in time.
    pub async fn redrive(&self, task: TaskId) -> Result<TaskId, RedriveError> {
        match expect_accepted(self.call(&FromClient::Redrive(task), None).await?) {
            Ok(Accepted::Redriven { .. }) => Ok(task_of_redrive(task)),
            Err(Failure::Rejected(rejection)) => Err(rejection.into()),
            Ok(_) | Err(Failure::OffContract) => Err(off_contract().into()),
        }
    }

    /// Waits for a task's terminal record.
    ///
    /// # Errors
    /// When there is no such task, or it does not end within `patience`.
    pub async fn result(&self, task: TaskId, patience: Duration) -> Result<Record, ResultError> {
        let (watcher, mut finished) = self.watcher();
        let wait = async {
            watcher.watch(vec![task]).await;
            finished.next().await.and_then(|mut batch| batch.pop())
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(Some((_, Some(record)))) => Ok(record),
            Ok(Some((_, None))) => Err(ResultError::UnknownTask(task)),
            Ok(None) | Err(_) => Err(ResultError::NotYet { task, waited: patience }),
        }
    }

    pub(crate) async fn call(
        &self,
        message: &FromClient,
        watching: Option<(Vec<TaskId>, Sink)>,
    ) -> Result<ToClient, Unavailable> {
        self.call_encoded(encode(message).into(), watching).await
    }

    async fn call_encoded(
        &self,
        message: Bytes,
        watching: Option<(Vec<TaskId>, Sink)>,
    ) -> Result<ToClient, Unavailable> {
        let since = Instant::now();
        let deadline = since + self.patience;
        let (reply, answer) = oneshot::channel();
        let call = Request::Call(Call { message, since, deadline, watching, reply });
        // The queue is full only while many others wait for the same leader.
        match tokio::time::timeout_at(deadline.into(), self.requests.send(call)).await {
            Ok(Ok(())) => answer.await.unwrap_or_else(|_| Err(gone())),
            Ok(Err(_)) => Err(gone()),
            Err(_) => {
                let trouble = "too many requests wait for the leader".to_owned();
                Err(Unavailable { waited: self.patience, trouble })
            }
        }
    }
}

/// Why an answer is not an acceptance.
pub(crate) enum Failure {
    Rejected(Rejection),
    OffContract,
}

impl Failure {
    fn into_register(self) -> RegisterError {
        match self {
            Self::Rejected(rejection) => rejection.into(),
            Self::OffContract => off_contract().into(),
        }
    }

    pub(crate) fn into_submit(self) -> SubmitError {
        match self {
            Self::Rejected(rejection) => rejection.into(),
            Self::OffContract => off_contract().into(),
        }
    }
}

pub(crate) fn expect_accepted(answer: ToClient) -> Result<Accepted, Failure> {
    match answer {
        ToClient::Reply(Ok(accepted)) => Ok(accepted),
        ToClient::Reply(Err(rejection)) => Err(Failure::Rejected(rejection)),
        ToClient::Status(_)
        | ToClient::Watching
        | ToClient::Finished(_)
        | ToClient::NotLeader { .. }
        | ToClient::Busy { .. }
        | ToClient::Unknown { .. }
        | ToClient::Members(_) => Err(Failure::OffContract),
    }
}

pub(crate) fn off_contract() -> Unavailable {
    let trouble = "the node answered another question than was asked; client and node differ in version";
    Unavailable { waited: Duration::ZERO, trouble: trouble.to_owned() }
}

fn gone() -> Unavailable {
    Unavailable { waited: Duration::ZERO, trouble: "the client's runtime was shut down".to_owned() }
}
