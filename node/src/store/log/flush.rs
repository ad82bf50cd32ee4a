//! Group commit: one thread makes the log durable for everybody who waits.
//!
//! Writers put their bytes into the database themselves (a copy into memory, some 10 us, readable at once) and queue who
//! is to be told. The thread takes *all* that is queued, flushes once, and tells them in order. What arrives during a
//! flush shares the next one, so the batch grows with the load and a lone write waits for nothing but the disk. No timer.
//!
//! The queue is taken **before** the flush: every write in it happened before the flush began, so the flush covers it.
//! Taken after, a write that came during the flush would be called durable while it is not.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use raftwork_kernel::mutants::mutant;
use tokio::sync::Notify;

use super::counters::Counters;
use super::fatal::fatal_io;
use super::tables::Tables;
use crate::failpoint::reach;
use crate::store::disk::{self, Disk};

/// Is told once, on the flush thread, when the write is durable, or that it never will be. Must not block.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What is to happen after the next flush.
pub(super) enum Job {
    /// Tell somebody.
    Tell(Done),
    /// Free the files of records up to this index, whose purge is durable then.
    DropFiles(u64),
}

/// The handle on the flush thread; dropping it flushes once more and waits for the thread.
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    tables: Arc<Tables>,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
    wake: Notify,
}

/// The jobs that wait. Their number is bounded by those who queue: openraft appends to a bounded channel's worth of
/// entries at a time.
#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    closed: bool,
}

impl Flusher {
    /// Starts the thread, which the disk provides.
    pub(super) fn start(disk: &dyn Disk, tables: Arc<Tables>, counters: Arc<Counters>) -> io::Result<Self> {
        let shared = Arc::new(Shared { tables, counters, queue: Mutex::default(), wake: Notify::new() });
        let flushing = Arc::clone(&shared);
        let thread = disk.run_flushing(Box::pin(async move { flushing.run().await }))?;
        Ok(Self { shared, thread })
    }

    /// Queues a job; what it waits for must have been written before.
    pub(super) fn queue(&self, job: Job) {
        self.shared.lock().jobs.push(job);
        self.shared.wake.notify_one();
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the log's flush thread panicked");
        }
    }
}

impl Shared {
    async fn run(&self) {
        loop {
            let (jobs, closed) = self.take().await;
            self.flush(jobs).await;
            if closed {
                return;
            }
        }
    }

    /// Waits for jobs and takes them all; also says whether they are the last.
    async fn take(&self) -> (Vec<Job>, bool) {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.wake.notified().await;
        }
    }

    fn try_take(&self) -> Option<(Vec<Job>, bool)> {
        let mut queue = self.lock();
        let ready = !queue.jobs.is_empty() || queue.closed;
        ready.then(|| (std::mem::take(&mut queue.jobs), queue.closed))
    }

    async fn flush(&self, mut jobs: Vec<Job>) {
        if mutant("M1") {
            self.finish(std::mem::take(&mut jobs));
        }
        let started = Instant::now();
        reach("log.after_write_before_sync");
        if let Err(error) = self.tables.flush().await {
            fail(jobs, &error);
        }
        reach("log.after_sync_before_cb");
        if mutant("M3") {
            jobs.append(&mut self.lock().jobs);
        }
        self.counters
            .flushed(started.elapsed(), jobs.iter().filter(|job| matches!(job, Job::Tell(_))).count());
        self.finish(jobs);
    }

    fn finish(&self, jobs: Vec<Job>) {
        for job in jobs {
            match job {
                Job::Tell(done) => done(Ok(())),
                Job::DropFiles(index) => {
                    reach("purge.after_marker");
                    self.drop_files(index);
                }
            }
        }
    }

    fn drop_files(&self, index: u64) {
        if let Err(error) = self.tables.drop_files(index) {
            fatal_io("freeing purged log files", &error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After a failed fsync nobody knows what is on disk, and trying again would say `Ok` for what is lost.
fn fail(jobs: Vec<Job>, error: &disk::Error) -> ! {
    for job in jobs {
        if let Job::Tell(done) = job {
            done(Err(io::Error::other(error.to_string())));
        }
    }
    fatal_io("making the log durable", error)
}
