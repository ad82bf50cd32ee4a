//! The framed stream of an SDK client: pipelined requests, and the ends of watched tasks as they happen.
//!
//! One task reads requests and sends ended tasks; each request that waits for consensus runs in a task of its own, so that
//! many are under way at once and share entries. Their number is bounded: beyond it the connection is not read.

use std::sync::Arc;

use bytes::Bytes;
use raftwork_api::frame::{self, Frame, FrameReader, FrameWriter, SendError};
use raftwork_api::kernel::{Millis, Record, Redrive, Status, Submit, TaskId, Token, decode, encode};
use raftwork_api::stream::{FromClient, MESSAGE, ToClient};
use raftwork_api::task_of_redrive;
use raftwork_kernel::{Command, Outcome};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::write;
use crate::group::{Group, Members, Unavailable, Watch};
use crate::replica::Standing;

/// Requests of one connection that may be under way.
const IN_FLIGHT_MAX: usize = 1024;
/// Bytes of records after which a batch of ended tasks is sent, so that no frame comes near its limit.
const FINISHED_BYTES: usize = 1 << 20;

type Ended = Vec<(TaskId, Option<Record>)>;

/// Serves a client until its stream ends.
pub(super) async fn serve<S>(group: Group, stream: S)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (frames, writer) = frame::split(stream);
    let (to_watch, watched) = mpsc::channel(IN_FLIGHT_MAX);
    let watch = group.watch();
    let requests = Requests { group, writer: writer.clone(), to_watch };
    let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut members = requests.group.members();
    members.mark_changed();
    let mut session = Session { frames, writer, watch, watched, members, places };
    if let Err(reason) = session.run(&requests).await {
        tracing::debug!(%reason, "a client's stream ended");
    }
}

/// Why a session ended otherwise than by the client's wish.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Frame(#[from] frame::FrameError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error(transparent)]
    Decode(#[from] raftwork_api::kernel::DecodeError),
}

struct Session<R> {
    frames: FrameReader<R>,
    writer: FrameWriter,
    watch: Watch,
    watched: mpsc::Receiver<Vec<TaskId>>,
    members: Members,
    places: Arc<Semaphore>,
}

impl<R: AsyncRead + Unpin> Session<R> {
    async fn run(&mut self, requests: &Requests) -> Result<(), SessionError> {
        loop {
            let next = next_request(&mut self.frames, &self.places);
            tokio::select! {
                request = next => match request? {
                    None => return Ok(()),
                    Some((place, frame)) => requests.begin(place, &frame)?,
                },
                ended = self.watch.next() => send_ended(&self.writer, ended).await?,
                Some(tasks) = self.watched.recv() => self.watch.add(&tasks),
                Ok(()) = self.members.changed() => {
                    let urls = self.members.borrow_and_update().clone();
                    self.writer.send(message(0, &ToClient::Members(urls))).await?;
                }
                () = self.writer.closed() => return Ok(()),
            }
        }
    }
}

/// The next frame, once there is a place for it. Safe to cancel.
async fn next_request<R: AsyncRead + Unpin>(
    frames: &mut FrameReader<R>,
    places: &Arc<Semaphore>,
) -> Result<Option<(OwnedSemaphorePermit, Frame)>, frame::FrameError> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    Ok(frames.next().await?.map(|frame| (place, frame)))
}

/// Sends ended tasks in frames of bounded size.
async fn send_ended(writer: &FrameWriter, ended: Ended) -> Result<(), SendError> {
    for batch in batches(ended) {
        writer.send(message(0, &ToClient::Finished(batch))).await?;
    }
    Ok(())
}

fn batches(ended: Ended) -> Vec<Ended> {
    let mut batches: Vec<Ended> = Vec::new();
    let mut room = 0;
    for (task, record) in ended {
        let size = record.as_ref().map_or(0, record_bytes);
        if batches.is_empty() || size > room {
            batches.push(Vec::new());
            room = FINISHED_BYTES;
        }
        room = room.saturating_sub(size + OVERHEAD);
        batches.last_mut().expect("one was just made").push((task, record));
    }
    batches
}

/// About what a record takes beside its payload.
const OVERHEAD: usize = 100;

fn record_bytes(record: &Record) -> usize {
    match &record.outcome {
        Outcome::Completed(result) => result.len(),
        Outcome::Failed(error) | Outcome::Parked(error) => {
            error.message.len() + error.traceback.len() + error.exception.as_ref().map_or(0, Bytes::len)
        }
        Outcome::Cancelled | Outcome::CompletedInParts(_) => 0,
    }
}

fn message(id: u64, message: &ToClient) -> Frame {
    Frame { id, kind: MESSAGE, payload: Bytes::from(encode(message)) }
}

/// What a request needs while it is under way.
#[derive(Clone)]
struct Requests {
    group: Group,
    writer: FrameWriter,
    to_watch: mpsc::Sender<Vec<TaskId>>,
}

impl Requests {
    /// Begins to carry out a request.
    fn begin(&self, place: OwnedSemaphorePermit, frame: &Frame) -> Result<(), SessionError> {
        if frame.kind != MESSAGE {
            return Err(SessionError::Kind(frame.kind));
        }
        let request: FromClient = decode("client's request", &frame.payload)?;
        let (requests, id) = (self.clone(), frame.id);
        tokio::spawn(async move {
            let (answer, to_watch) = requests.answer(request).await;
            // The session notices by itself when the connection is gone.
            let _ = requests.writer.send(message(id, &answer)).await;
            if !to_watch.is_empty() {
                let _ = requests.to_watch.send(to_watch).await;
            }
            drop(place);
        });
        Ok(())
    }

    /// The answer, and the tasks to watch after it.
    async fn answer(&self, request: FromClient) -> (ToClient, Vec<TaskId>) {
        match request {
            FromClient::Register(register) => (self.propose(Command::Register(register)).await, Vec::new()),
            FromClient::Cancel(cancel) => (self.propose(Command::Cancel(cancel)).await, Vec::new()),
            FromClient::Redrive(task) => {
                let redrive = Redrive { task, into: task_of_redrive(task) };
                (self.propose(Command::Redrive(redrive)).await, Vec::new())
            }
            FromClient::Submit { submit, watch } => {
                let tasks = if watch { ids(&submit) } else { Vec::new() };
                self.submit(Command::Submit(submit), tasks).await
            }
            FromClient::SubmitUnder { submit: under, watch } => {
                let tasks = if watch { ids(&under.submit) } else { Vec::new() };
                self.submit(Command::SubmitUnder(under), tasks).await
            }
            FromClient::Store(store) => (self.propose(Command::Store(store)).await, Vec::new()),
            FromClient::StorePart(part) => (self.propose(Command::StorePart(part)).await, Vec::new()),
            FromClient::Map(map) => (self.propose(Command::Map(map)).await, Vec::new()),
            FromClient::CancelMap(cancel) => (self.propose(Command::CancelMap(cancel)).await, Vec::new()),
            FromClient::Status(task) => (self.status(task).await, Vec::new()),
            FromClient::Watch(tasks) => match self.make_known(&tasks).await {
                Ok(()) => (ToClient::Watching, tasks),
                Err(unavailable) => (refusal(unavailable), Vec::new()),
            },
        }
    }

    /// Submits, and has `tasks` watched if they were accepted.
    async fn submit(&self, command: Command, tasks: Vec<TaskId>) -> (ToClient, Vec<TaskId>) {
        let answer = self.propose(command).await;
        let accepted = matches!(answer, ToClient::Reply(Ok(_)));
        (answer, if accepted { tasks } else { Vec::new() })
    }

    async fn propose(&self, command: Command) -> ToClient {
        if let Err(rejection) = write::check_size(&command) {
            return ToClient::Reply(Err(rejection));
        }
        match self.group.propose(vec![command]).await {
            Ok(replies) => ToClient::Reply(replies.into_iter().next().expect("one command has one reply")),
            Err(unavailable) => refusal(unavailable),
        }
    }

    async fn status(&self, task: TaskId) -> ToClient {
        let standing = |task| self.group.replica().standing(task);
        if let Some(Standing::Finished(record)) = standing(&task) {
            return ToClient::Status(Some((record.outcome.status(), record.token)));
        }
        match self.group.linearize().await {
            Ok(()) => ToClient::Status(standing(&task).as_ref().map(in_short)),
            Err(unavailable) => refusal(unavailable),
        }
    }

    /// Tasks that this node does not know may still exist: the barrier tells. Without it, "no such task" could be false.
    async fn make_known(&self, tasks: &[TaskId]) -> Result<(), Unavailable> {
        if tasks.iter().all(|task| self.group.replica().standing(task).is_some()) {
            return Ok(());
        }
        self.group.linearize().await
    }
}

fn in_short(standing: &Standing) -> (Status, Token) {
    match standing {
        Standing::Live { status, task } => (*status, task.token),
        Standing::Finished(record) => (record.outcome.status(), record.token),
    }
}

fn refusal(unavailable: Unavailable) -> ToClient {
    match unavailable {
        Unavailable::NotLeader { leader } => ToClient::NotLeader { leader: Some(leader.url) },
        Unavailable::NoLeader | Unavailable::Stopping => ToClient::NotLeader { leader: None },
        Unavailable::Busy { retry_after } => {
            let ms = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
            ToClient::Busy { retry_after: Millis(ms) }
        }
        Unavailable::Unknown { reason } => ToClient::Unknown { reason },
    }
}

fn ids(submit: &Submit) -> Vec<TaskId> {
    submit.items.iter().map(|(task, _)| *task).collect()
}

#[cfg(test)]
mod tests {
    use raftwork_kernel::{Counters, LogTime, WallTime};

    use super::*;

    fn ended(sizes: &[usize]) -> Ended {
        let record = |size: &usize| Record {
            outcome: Outcome::Completed(Bytes::from(vec![0; *size])),
            token: Token(1),
            worker: None,
            counters: Counters::default(),
            finished_wall: WallTime(0),
            expires: LogTime(0),
        };
        (0..).zip(sizes).map(|(id, size)| (TaskId::from_u128(id), Some(record(size)))).collect()
    }

    #[test]
    fn ended_tasks_go_out_in_bounded_frames_and_none_is_lost() {
        for (sizes, lengths) in [
            (&[10, 10, 10][..], &[3][..]),
            (&[24 << 20, 24 << 20, 10], &[1, 1, 1]),
            (&[10, 24 << 20], &[1, 1]),
            (&[600 << 10, 600 << 10], &[1, 1]),
            (&[], &[]),
        ] {
            let batches = batches(ended(sizes));
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), lengths, "{sizes:?}");
            assert_eq!(batches.concat(), ended(sizes));
        }
    }
}
