//! The slots of a worker: which child takes which task, and when a child is replaced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::child::Child;
use super::job::{FunctionKey, Job, JobErrorKind, JobOutcome};
use super::memory::process_rss;
use super::options::PoolOptions;
use super::output::Captured;
use super::report;
use super::run::{Fate, run};
use super::zygote::{self, ForkError, PythonVersion, StartError, ZygoteHandle};

/// How often a child is asked for again when the zygote dies under the request.
const START_ATTEMPTS: u32 = 3;

/// A pool of Python children. Cheap to clone; when the last clone is dropped, all children end.
#[derive(Debug, Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

/// * Every child is in `idle`, or owned by one `run`, or by one replacement.
/// * A permit is held by each `run`, and by each replacement until the new child is idle; so there
///   are never more than `slots` children that can take a task.
#[derive(Debug)]
struct Inner {
    options: PoolOptions,
    python: PythonVersion,
    zygote: ZygoteHandle,
    slots: Arc<Semaphore>,
    idle: Mutex<Vec<Child>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Pool {
    /// Starts the zygote and one child for every slot.
    ///
    /// Must be called on a tokio runtime with I/O and time. Fails if the interpreter cannot be
    /// executed or lacks dill.
    pub async fn start(options: PoolOptions) -> Result<Self, StartError> {
        let (zygote, python, ended) = zygote::start(options.clone()).await?;
        let slots = Arc::new(Semaphore::new(options.slots));
        let idle = Mutex::new(Vec::with_capacity(options.slots));
        let inner = Inner { options, python, zygote, slots, idle, ended: Mutex::new(Some(ended)) };
        for _ in 0..inner.options.slots {
            let child = inner.start_child().await.map_err(|error| StartError::Child(error.to_string()))?;
            inner.put_idle(child);
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The interpreter that runs the tasks.
    pub fn python(&self) -> PythonVersion {
        self.inner.python
    }

    /// How many more jobs would start at once.
    pub fn free_slots(&self) -> usize {
        self.inner.slots.available_permits()
    }

    /// Runs a job as soon as a slot is free. Dropping the future kills the task at once.
    pub async fn run(&self, mut job: Job) -> JobOutcome {
        let slots = Arc::clone(&self.inner.slots);
        let permit = tokio::select! {
            biased;
            () = job.cancel.cancelled() => return never_ran(JobErrorKind::Cancelled, "the task was cancelled before it started"),
            permit = slots.acquire_owned() => permit,
        };
        let Ok(permit) = permit else {
            return never_ran(JobErrorKind::Infrastructure, "the worker is shutting down");
        };
        let (child, outcome, fate) = match self.inner.give_to_child(&mut job).await {
            Ok(run) => run,
            Err(error) => {
                let message = format!("the worker cannot start a process for the task: {error}");
                return never_ran(JobErrorKind::Infrastructure, &message);
            }
        };
        match fate {
            Fate::Keep if !self.inner.is_worn(&child) => self.inner.put_idle(child),
            Fate::Keep | Fate::Retire => self.replace(Some(child), permit),
            Fate::Dead => self.replace(None, permit),
        }
        outcome
    }

    /// Kills all tasks, ends all children, and waits until the zygote has gone.
    pub async fn shutdown(&self) {
        self.inner.slots.close();
        self.inner.zygote.stop();
        let ended = lock(&self.inner.ended).take();
        if let Some(ended) = ended {
            // An error means that the watching task was dropped with its runtime.
            let _ = ended.await;
        }
        lock(&self.inner.idle).clear();
    }

    /// Starts a new child, then ends the old one; the slot is free again when the new one is idle.
    fn replace(&self, old: Option<Child>, permit: OwnedSemaphorePermit) {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            match inner.start_child().await {
                Ok(child) => inner.put_idle(child),
                Err(ForkError::ShutDown) => {}
                // The slot stays usable: its next job tries again.
                Err(error) => tracing::warn!(%error, "cannot replace a child process"),
            }
            drop(permit);
            drop(inner);
            if let Some(old) = old {
                old.retire().await;
            }
        });
    }
}

impl Inner {
    /// Runs the job on a child. One that died while it was idle shows it now; there are no more such than slots.
    async fn give_to_child(&self, job: &mut Job) -> Result<(Child, JobOutcome, Fate), ForkError> {
        for _ in 0..=self.options.slots {
            let mut child = self.take_child(&job.function).await?;
            if let Some((outcome, fate)) = run(&mut child, job, &self.options, self.python).await {
                return Ok((child, outcome, fate));
            }
        }
        Err(ForkError::Silent)
    }

    /// An idle child, preferably one that knows the function; else a new one.
    async fn take_child(&self, function: &FunctionKey) -> Result<Child, ForkError> {
        loop {
            let Some(mut child) = self.pop_idle(function) else {
                return self.start_child().await;
            };
            // It may have been killed with its zygote while it was idle.
            if child.is_alive() {
                return Ok(child);
            }
        }
    }

    fn pop_idle(&self, function: &FunctionKey) -> Option<Child> {
        let mut idle = lock(&self.idle);
        let knowing = idle.iter().rposition(|child| child.known.contains(function));
        let at = knowing.or_else(|| idle.len().checked_sub(1))?;
        Some(idle.swap_remove(at))
    }

    fn put_idle(&self, child: Child) {
        lock(&self.idle).push(child);
    }

    async fn start_child(&self) -> Result<Child, ForkError> {
        let mut attempt = 1;
        loop {
            match Child::start(&self.zygote).await {
                Err(ForkError::ZygoteDied | ForkError::Silent) if attempt < START_ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    fn is_worn(&self, child: &Child) -> bool {
        let recycle = &self.options.recycle;
        recycle.max_tasks.is_some_and(|max| child.tasks >= max)
            || recycle.max_rss.is_some_and(|max| process_rss(child.pid()) > max)
    }
}

fn never_ran(kind: JobErrorKind, message: &str) -> JobOutcome {
    JobOutcome {
        result: Err(Box::new(report::ended_from_outside(kind, message.to_owned(), String::new()))),
        stdout: Captured::default(),
        stderr: Captured::default(),
        duration: Duration::ZERO,
        peak_rss: 0,
    }
}

/// The lists behind these locks are whole after every step, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
