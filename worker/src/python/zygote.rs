//! The link to the zygote: asks for children, passes on their deaths, replaces a dead zygote.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::control::{Message, packet_pair, receive, send_fork};
use super::options::PoolOptions;
use super::spawner::Spawner;

/// Importing dill takes 0.1 s; a preloaded framework can take many seconds on a busy machine.
const HELLO_DEADLINE: Duration = Duration::from_mins(2);
/// Pauses between attempts to replace a zygote that dies again and again.
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(50);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Requests that may wait: each slot has at most one, so this is never reached in practice.
const REQUESTS_BOUND: usize = 256;

/// The interpreter that children run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PythonVersion {
    /// 3 in `3.11.7`.
    pub major: u32,
    /// 11 in `3.11.7`.
    pub minor: u32,
    /// 7 in `3.11.7`.
    pub micro: u32,
}

/// Why a pool cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The interpreter could not be executed.
    #[error("cannot execute the python interpreter {python}")]
    Exec {
        /// The path that was tried.
        python: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The interpreter ran and ended before it was ready; its own words are on the agent's stderr.
    #[error("the python interpreter {python} ended before it was ready")]
    Ended {
        /// The interpreter.
        python: String,
    },
    /// The interpreter was not ready in time.
    #[error("the python interpreter was not ready after {} s", HELLO_DEADLINE.as_secs())]
    Slow,
    /// The interpreter lacks what children need.
    #[error("{0}")]
    Unusable(String),
    /// Sockets, threads or pipes could not be made.
    #[error("cannot set up the link to the python processes")]
    System(#[from] io::Error),
    /// The first children did not come up.
    #[error("cannot start a child process: {0}")]
    Child(String),
}

/// The end of a child, as its parent saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// Highest resident size of its life, in bytes.
    pub(super) peak_rss: u64,
}

/// A child that was just made.
#[derive(Debug)]
pub(super) struct Forked {
    pub(super) pid: u32,
    pub(super) pidfd: Option<OwnedFd>,
    /// Fails if the zygote dies first.
    pub(super) exit: oneshot::Receiver<Exit>,
}

/// Why a child could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForkError {
    #[error("the zygote could not make a process: {0}")]
    Refused(String),
    #[error("the zygote died")]
    ZygoteDied,
    #[error("the pool is shut down")]
    ShutDown,
    #[error("cannot make descriptors for a child")]
    Descriptors(#[from] io::Error),
    #[error("the new child did not answer")]
    Silent,
}

struct Request {
    ends: [OwnedFd; 4],
    reply: oneshot::Sender<Result<Forked, ForkError>>,
}

/// A handle to ask for children. When the last one is dropped, the zygote and its children end.
#[derive(Debug, Clone)]
pub(super) struct ZygoteHandle {
    requests: mpsc::Sender<Request>,
    stop: CancellationToken,
}

impl ZygoteHandle {
    /// Makes a child with these descriptors for its commands, answers, stdout and stderr.
    pub(super) async fn fork(&self, ends: [OwnedFd; 4]) -> Result<Forked, ForkError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { ends, reply }).await.map_err(|_| ForkError::ShutDown)?;
        answer.await.map_err(|_| ForkError::ZygoteDied)?
    }

    /// Ends the zygote and every child, whatever they do.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Starts a zygote and the task that keeps one alive. The receiver tells when all has ended.
pub(super) async fn start(
    options: PoolOptions,
) -> Result<(ZygoteHandle, PythonVersion, oneshot::Receiver<()>), StartError> {
    let spawner = Spawner::start(options.clone())?;
    let (link, version) = Link::open(&spawner, &options).await?;
    let (requests, inbox) = mpsc::channel(REQUESTS_BOUND);
    let (on_end, ended) = oneshot::channel();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        stopped.run_until_cancelled(keep_alive(link, &spawner, &options, inbox)).await;
        spawner.finish().await;
        // Nobody has to wait for the end.
        let _ = on_end.send(());
    });
    Ok((ZygoteHandle { requests, stop }, version, ended))
}

/// Serves requests, over a new zygote whenever one dies, until no handle is left.
async fn keep_alive(
    mut link: Link,
    spawner: &Spawner,
    options: &PoolOptions,
    mut inbox: mpsc::Receiver<Request>,
) {
    let mut pause = RESTART_PAUSE_MIN;
    loop {
        if link.serve(&mut inbox).await == Served::NoMoreRequests {
            return;
        }
        if link.made_a_child {
            pause = RESTART_PAUSE_MIN;
        }
        // Drops the senders of all exits, which tells their children's owners that the zygote died.
        drop(link);
        tracing::warn!("the zygote died; its children are lost and a new one is started");
        link = loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
            match Link::open(spawner, options).await {
                Ok((link, _)) => break link,
                Err(error) => tracing::error!(%error, "cannot start a new zygote"),
            }
            if inbox.is_closed() {
                return;
            }
        };
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Served {
    NoMoreRequests,
    ZygoteDied,
}

/// The connection to one zygote.
#[derive(Debug)]
struct Link {
    socket: UnixStream,
    next_id: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<Forked, ForkError>>>,
    living: HashMap<u32, oneshot::Sender<Exit>>,
    made_a_child: bool,
}

impl Link {
    async fn open(spawner: &Spawner, options: &PoolOptions) -> Result<(Self, PythonVersion), StartError> {
        let python = options.python.display().to_string();
        let (socket, theirs) = packet_pair()?;
        spawner
            .exec_zygote(theirs)
            .await
            .map_err(|source| StartError::Exec { python: python.clone(), source })?;
        let hello = tokio::time::timeout(HELLO_DEADLINE, next_message(&socket)).await;
        let Ok(Some((Message::Hello { python: version, dill, problems, error }, _))) = hello else {
            return Err(if hello.is_err() { StartError::Slow } else { StartError::Ended { python } });
        };
        if !error.is_empty() {
            return Err(StartError::Unusable(error));
        }
        for problem in problems {
            tracing::warn!(problem, "the zygote starts without a module");
        }
        let (major, minor, micro) = version;
        tracing::info!(%python, version = format!("{major}.{minor}.{micro}"), dill, "the zygote is ready");
        let (waiting, living) = (HashMap::new(), HashMap::new());
        let link = Self { socket, next_id: 0, waiting, living, made_a_child: false };
        Ok((link, PythonVersion { major, minor, micro }))
    }

    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Request>) -> Served {
        loop {
            tokio::select! {
                message = next_message(&self.socket) => match message {
                    Some((message, fd)) => self.take(message, fd),
                    None => return Served::ZygoteDied,
                },
                request = inbox.recv() => match request {
                    Some(request) => self.ask(request).await,
                    None => return Served::NoMoreRequests,
                },
            }
        }
    }

    async fn ask(&mut self, request: Request) {
        let id = self.next_id;
        self.next_id += 1;
        // If sending fails, the zygote is gone, and dropping the reply says so.
        if send_fork(&self.socket, id, &request.ends).await.is_ok() {
            self.waiting.insert(id, request.reply);
        }
    }

    fn take(&mut self, message: Message, pidfd: Option<OwnedFd>) {
        match message {
            Message::Forked { id, pid } => {
                let (on_exit, exit) = oneshot::channel();
                self.living.insert(pid, on_exit);
                self.made_a_child = true;
                if let Some(reply) = self.waiting.remove(&id) {
                    // If the asker has given up, the child sees its pipe closed and ends.
                    let _ = reply.send(Ok(Forked { pid, pidfd, exit }));
                }
            }
            Message::Failed { id, error } => {
                if let Some(reply) = self.waiting.remove(&id) {
                    let _ = reply.send(Err(ForkError::Refused(error)));
                }
            }
            Message::Exited { pid, status, peak_kib } => {
                if let Some(on_exit) = self.living.remove(&pid) {
                    let _ = on_exit.send(exit_of(status, peak_kib));
                }
            }
            Message::Notice { text } => tracing::warn!("{text}"),
            Message::Hello { .. } => tracing::warn!("the zygote said hello twice"),
        }
    }
}

/// The next message, or `None` when the zygote is gone or talks nonsense. Safe to cancel.
async fn next_message(socket: &UnixStream) -> Option<(Message, Option<OwnedFd>)> {
    receive(socket).await.unwrap_or_else(|error| {
        tracing::error!(%error, "the link to the zygote broke");
        None
    })
}

/// Reads a wait status, which packs the exit code and the signal into one number.
fn exit_of(status: i32, peak_kib: u64) -> Exit {
    let status = ExitStatus::from_raw(status);
    Exit { code: status.code(), signal: status.signal(), peak_rss: peak_kib * 1024 }
}
