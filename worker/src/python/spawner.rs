//! The one thread that execs zygotes.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that spawned a process ends, so a zygote spawned on
//! tokio's blocking pool would die at random. This thread lives as long as its zygote is wanted.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tokio::sync::oneshot;

use super::options::PoolOptions;

/// How long a zygote whose socket was closed may take to end its children and itself.
const EXIT_DEADLINE: Duration = Duration::from_secs(3);

/// Variables that say how many threads a numeric library starts. Libraries default to all
/// processors, so N slots would run N threads on each of them.
const THREAD_VARIABLES: [&str; 6] = [
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
];

/// A request to exec a zygote with `control` as its standard input.
struct Order {
    control: OwnedFd,
    reply: oneshot::Sender<io::Result<u32>>,
}

/// A handle on the thread. When it is dropped, the thread waits for its last zygote and ends.
#[derive(Debug)]
pub(super) struct Spawner {
    orders: mpsc::Sender<Order>,
    ended: oneshot::Receiver<()>,
}

impl Spawner {
    /// Starts the thread.
    pub(super) fn start(options: PoolOptions) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let (on_end, ended) = oneshot::channel();
        std::thread::Builder::new().name("raftwork-spawner".into()).spawn(move || {
            serve(&options, &inbox);
            // Nobody may be waiting for it; then the news has no reader.
            let _ = on_end.send(());
        })?;
        Ok(Self { orders, ended })
    }

    /// Execs a zygote, after the one before it has gone; returns its process id.
    pub(super) async fn exec_zygote(&self, control: OwnedFd) -> io::Result<u32> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the spawner thread has ended");
        self.orders.send(Order { control, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Waits until the last zygote has ended; its control socket must have been closed.
    pub(super) async fn finish(self) {
        drop(self.orders);
        // An error means that the thread has ended already.
        let _ = self.ended.await;
    }
}

fn serve(options: &PoolOptions, inbox: &mpsc::Receiver<Order>) {
    let mut zygote: Option<Child> = None;
    for order in inbox {
        if let Some(old) = zygote.take() {
            reap(old);
        }
        let spawned = zygote_command(options).stdin(Stdio::from(order.control)).spawn();
        let answer = spawned.map(|child| zygote.insert(child).id());
        // The pool may have been dropped meanwhile; then the closed socket ends the zygote.
        let _ = order.reply.send(answer);
    }
    if let Some(last) = zygote {
        reap(last);
    }
}

/// Waits for a zygote to end by itself, then kills it.
fn reap(mut zygote: Child) {
    let deadline = Instant::now() + EXIT_DEADLINE;
    while Instant::now() < deadline {
        if !matches!(zygote.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    tracing::warn!(pid = zygote.id(), "the zygote did not end in time and is killed");
    // Fails only if it has ended after all.
    let _ = zygote.kill();
    let _ = zygote.wait();
}

fn zygote_command(options: &PoolOptions) -> Command {
    let config = serde_json::json!({
        "paths": options.path_dirs,
        "preload": options.preload,
        "max_result": options.result_bytes_max,
    });
    let mut command = Command::new(&options.python);
    command.arg(options.package_dir.join("_runtime")).arg("zygote").arg(config.to_string());
    for variable in THREAD_VARIABLES {
        if std::env::var_os(variable).is_none() {
            command.env(variable, options.cpus_per_slot.to_string());
        }
    }
    // Its own group: a Ctrl-C in the terminal is for the agent, which then ends it in good order.
    command.process_group(0);
    die_with_this_thread(&mut command);
    command
}

/// `SIGTERM`, not `SIGKILL`: the zygote then takes its children's process groups along.
fn die_with_this_thread(command: &mut Command) {
    let parent = std::process::id();
    let set_up = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
        // The parent may have died before the call above could matter.
        match rustix::process::getppid().map(Pid::as_raw_nonzero) {
            Some(pid) if u32::try_from(pid.get()) == Ok(parent) => Ok(()),
            Some(_) | None => Err(io::Error::from(io::ErrorKind::NotConnected)),
        }
    };
    #[expect(unsafe_code, reason = "pre_exec is unsafe; the closure only makes two system calls")]
    // SAFETY: between fork and exec only async-signal-safe work is allowed. The closure calls prctl
    // and getppid and builds errors that do not allocate.
    unsafe {
        command.pre_exec(set_up);
    }
}
