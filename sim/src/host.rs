//! One node of the simulated cluster: a machine that has a clock and a disk, and runs the daemon's code or is down.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raftwork_kernel::{Command, LeaseRef, Reply, TaskId, WorkerId, decode_shared};
use raftwork_node::config::Config;
use raftwork_node::dispatch::AcquireRequest;
use raftwork_node::group::{Group, Unavailable};
use raftwork_node::replica::Standing;
use raftwork_node::store::log::Body;
use raftwork_node::{Embedded, StartError};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::audit::Audit;
use crate::clock;
use crate::disk::SimDisk;
use crate::net::{Net, Place, SimDialer};

/// What somebody outside asks of a node.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Propose(Vec<Command>),
    Report(WorkerId, LeaseRef, Box<Command>),
    Read(TaskId),
    Acquire(AcquireRequest),
    Started(WorkerId, Vec<LeaseRef>),
    Beat(WorkerId, Vec<LeaseRef>),
}

/// What it answers.
#[derive(Debug)]
pub(crate) enum Answer {
    Replies(Vec<Reply>),
    Standing(Option<Standing>),
    Granted(Vec<LeaseRef>),
    Lost(Vec<LeaseRef>),
}

/// An ask on its way.
pub(crate) struct Call {
    pub(crate) from: Place,
    pub(crate) arrives: u64,
    pub(crate) ask: Ask,
    pub(crate) answer: oneshot::Sender<(u64, Result<Answer, Unavailable>)>,
}

/// Asks to a node that runs.
pub(crate) type Calls = mpsc::UnboundedSender<Call>;

/// The daemon's code, once it has started, or why it has not.
type Started = Arc<Mutex<Option<Result<Arc<Embedded>, String>>>>;

/// Why a node that has started says that it must not go on, once it does.
type Barred = Arc<Mutex<Option<String>>>;

/// What is under way on a node that runs.
struct Running {
    runtime: Runtime,
    /// Up to where the runtime has been let.
    reached: Instant,
    /// How long it has stood still since.
    overslept: Duration,
    embedded: Started,
    barred: Barred,
    calls: Calls,
    audited: u64,
    /// Whether what it remembers of its votes was looked at.
    remembered: bool,
}

/// One machine.
pub(crate) struct Host {
    pub(crate) id: Place,
    pub(crate) disk: SimDisk,
    net: Net,
    config: Arc<Config>,
    audit: Audit,
    running: Option<Running>,
    /// Its monotonic clock, in nanoseconds.
    monotonic: u64,
    /// Millionths by which its clock is too fast.
    pub(crate) fast: i64,
    pub(crate) wall_ahead: i64,
    /// It stands still until then.
    pub(crate) paused_until: u64,
    /// Whether its folder was exchanged for an empty one.
    emptied: bool,
}

impl Host {
    pub(crate) fn new(
        id: Place,
        disk: SimDisk,
        net: Net,
        config: Arc<Config>,
        audit: Audit,
        fast: i64,
    ) -> Self {
        let (running, monotonic, wall_ahead, paused_until, emptied) = (None, 0, 0, 0, false);
        Self { id, disk, net, config, audit, running, monotonic, fast, wall_ahead, paused_until, emptied }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.running.is_some()
    }

    /// Starts the daemon's code on what the disk holds.
    pub(crate) fn start(&mut self, now: u64) {
        clock::set(now);
        self.audit.restarted(self.id, self.emptied);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without threads or sockets needs nothing");
        let (embedded, barred) = (Arc::default(), Arc::default());
        let (calls, asked) = mpsc::unbounded_channel();
        let reached = runtime.block_on(async { Instant::now() });
        let boot = Boot {
            id: self.id,
            disk: self.disk.clone(),
            net: self.net.clone(),
            config: Arc::clone(&self.config),
            embedded: Arc::clone(&embedded),
            barred: Arc::clone(&barred),
        };
        runtime.spawn(boot.run(asked));
        let overslept = Duration::ZERO;
        let (audited, remembered) = (0, false);
        self.running =
            Some(Running { runtime, reached, overslept, embedded, barred, calls, audited, remembered });
    }

    /// The process is killed, or the power fails.
    pub(crate) fn crash(&mut self) {
        if let Some(Running { runtime, embedded, .. }) = self.running.take() {
            self.net.shut(self.id);
            embedded.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(runtime);
            self.disk.crash();
        }
    }

    pub(crate) const fn is_emptied(&self) -> bool {
        self.emptied
    }

    /// The process is killed, and when it starts again, it finds an empty folder where its own was.
    pub(crate) fn exchange_folder(&mut self) {
        self.crash();
        std::fs::rename(self.folder(), self.folder_aside())
            .expect("a node that has applied something has one");
        self.disk.put_aside();
        self.emptied = true;
    }

    /// The process is killed if it runs, and its own folder is back.
    pub(crate) fn put_folder_back(&mut self) {
        self.crash();
        // The power may have gone before there was any other.
        let _ = std::fs::remove_dir_all(self.folder());
        std::fs::rename(self.folder_aside(), self.folder()).expect("the folder was put aside");
        self.disk.bring_back();
        self.emptied = false;
    }

    fn folder(&self) -> &Path {
        &self.config.find(self.id).expect("every host is in the configuration").data
    }

    fn folder_aside(&self) -> PathBuf {
        self.folder().with_extension("aside")
    }

    /// Lets the node work until so much true time has passed; true if it has voted meanwhile.
    pub(crate) fn step(&mut self, now: u64, nanos: u64) -> bool {
        let local = clock::stretch(nanos, self.fast);
        let monotonic = self.monotonic;
        self.monotonic += local;
        let Some(running) = &mut self.running else { return false };
        if self.paused_until > now {
            running.overslept += Duration::from_nanos(local);
            return false;
        }
        let overslept = std::mem::take(&mut running.overslept);
        let start = running.reached + overslept;
        running.reached = start + Duration::from_nanos(local);
        let until = running.reached;
        let (wall, fast) = (self.wall_ahead, self.fast);
        running.runtime.block_on(async {
            clock::enter(now, start, monotonic, wall, fast);
            // What it slept through is over at once when it wakes, as after SIGSTOP.
            if !overslept.is_zero() {
                tokio::time::advance(overslept).await;
            }
            tokio::time::sleep_until(until).await;
        });
        clock::set(now + nanos);
        self.check()
    }

    /// Looks at what the node has applied and said meanwhile; true if it has voted.
    fn check(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let barred = running.barred.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reason) = barred {
            self.end(&reason);
            return false;
        }
        let started = running.embedded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match started {
            Some(Ok(embedded)) => {
                if !std::mem::replace(&mut running.remembered, true) {
                    self.audit.remembers(self.id, embedded.log().ballot());
                }
                running.audited = audit_log(self.id, &embedded, running.audited, &self.audit);
                self.audit.voted(self.id, &embedded.group().raft_leadership())
            }
            Some(Err(error)) => {
                self.audit.violate(format!("I1: node {} refuses to start: {error}", self.id));
                false
            }
            None => false,
        }
    }

    /// The node has said that it must not go on, and its process ends.
    fn end(&mut self, reason: &str) {
        if self.emptied {
            self.audit.count("emptied nodes that ended");
        } else {
            self.audit.violate(format!("I11: node {} ends, with its own folder: {reason}", self.id));
        }
        self.crash();
    }

    /// Raft must not end under a process that goes on.
    pub(crate) fn check_life(&self) {
        if let Some(reason) = self.group().and_then(|group| group.status().stopped) {
            self.audit.violate(format!("I11: raft of node {} has stopped by itself: {reason}", self.id));
        }
    }

    /// The running node's group.
    pub(crate) fn group(&self) -> Option<Group> {
        let running = self.running.as_ref()?;
        let started = running.embedded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(started?.ok()?.group().clone())
    }

    /// Where asks to it go.
    pub(crate) fn calls(&self) -> Option<Calls> {
        Some(self.running.as_ref()?.calls.clone())
    }
}

/// Hands the newly applied entries of a node's log to the audit.
fn audit_log(node: Place, embedded: &Embedded, audited: u64, audit: &Audit) -> u64 {
    let applied = embedded.group().replica().applied_index();
    if applied <= audited {
        return audited;
    }
    let records = embedded.log().read_cached(audited + 1..applied + 1, usize::MAX).unwrap_or_default();
    for record in records {
        let index = record.position.index;
        let (bytes, log_time) = match &record.body {
            Body::Entry(bytes) => {
                let entry: Option<raftwork_kernel::Entry> = decode_shared("entry", bytes).ok();
                (bytes.clone(), entry.map(|entry| entry.log_time.0))
            }
            Body::Membership(bytes) => (bytes.clone(), None),
            Body::Blank => (bytes::Bytes::new(), None),
        };
        audit.committed(node, index, &bytes, log_time);
    }
    applied
}

/// Everything that a start needs.
struct Boot {
    id: Place,
    disk: SimDisk,
    net: Net,
    config: Arc<Config>,
    embedded: Started,
    barred: Barred,
}

impl Boot {
    async fn run(self, calls: mpsc::UnboundedReceiver<Call>) {
        let mut coming = self.net.open(self.id);
        let dialer = Arc::new(SimDialer { net: self.net.clone(), own: self.id });
        let started = Embedded::start(&self.config, self.id, Arc::new(self.disk.clone()), dialer).await;
        let started = started.map(Arc::new).map_err(|error: StartError| error.to_string());
        *self.embedded.lock().unwrap_or_else(PoisonError::into_inner) = Some(started.clone());
        let Ok(node) = started else { return };
        tokio::spawn(wait_for_bar(Arc::clone(&node), self.barred));
        tokio::spawn(answer_calls(node.group().clone(), self.id, self.net.clone(), calls));
        while let Some(stream) = coming.recv().await {
            let serving = node.serve_peer(Box::new(stream));
            tokio::spawn(async move { drop(serving.await) });
        }
    }
}

async fn wait_for_bar(node: Arc<Embedded>, barred: Barred) {
    let reason = node.barred().await.to_string();
    *barred.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
}

async fn answer_calls(group: Group, own: Place, net: Net, mut calls: mpsc::UnboundedReceiver<Call>) {
    while let Some(call) = calls.recv().await {
        let (group, net) = (group.clone(), net.clone());
        tokio::spawn(async move {
            let early = call.arrives.saturating_sub(clock::true_now());
            tokio::time::sleep(clock::local(early)).await;
            let answer = carry_out(&group, call.ask).await;
            if net.loses(own, call.from) {
                // The caller must not even learn that there was an answer.
                std::future::pending::<()>().await;
            }
            let arrives = clock::true_now() + net.delay(own, call.from);
            let _ = call.answer.send((arrives, answer));
        });
    }
}

/// What the daemon's HTTP handlers do, without HTTP.
async fn carry_out(group: &Group, ask: Ask) -> Result<Answer, Unavailable> {
    Ok(match ask {
        Ask::Propose(commands) => Answer::Replies(group.propose(commands).await?),
        Ask::Report(worker, lease, command) => {
            let replies = group.propose(vec![*command]).await?;
            group.dispatcher().reported(worker, &lease);
            Answer::Replies(replies)
        }
        Ask::Read(task) => Answer::Standing(read(group, task).await?),
        Ask::Acquire(ask) => {
            let work = group.dispatcher().acquire(ask).await?;
            Answer::Granted(work.into_iter().map(|work| work.lease).collect())
        }
        Ask::Started(worker, leases) => {
            group.dispatcher().started(worker, &leases);
            Answer::Lost(group.replica().lost(&leases))
        }
        Ask::Beat(worker, leases) => {
            let held: Vec<_> = leases.iter().map(|lease| (*lease, true)).collect();
            Answer::Lost(group.dispatcher().beat(worker, &held).await?)
        }
    })
}

async fn read(group: &Group, task: TaskId) -> Result<Option<Standing>, Unavailable> {
    let standing = group.replica().standing(&task);
    if matches!(standing, Some(Standing::Finished(_))) {
        return Ok(standing);
    }
    group.linearize().await?;
    Ok(group.replica().standing(&task))
}

/// Where a cluster's files are.
pub(crate) fn config(folder: &Path, nodes: u64, settings: &str) -> Config {
    let mut text = format!("[cluster]\nname = \"sim\"\n{settings}\n");
    for id in 1..=nodes {
        let port = 7000 + id;
        let _ = write!(text, "[[node]]\nid = {id}\naddr = \"127.0.0.1:{port}\"\ndata = \"n{id}\"\n");
    }
    Config::parse(&text, &folder.join("cluster.toml")).expect("the simulation's configuration is valid")
}
