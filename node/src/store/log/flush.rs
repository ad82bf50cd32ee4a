//! Group commit: one thread makes the log durable for everybody who waits.
//!
//! Writers put their bytes into the database themselves (a copy into memory, some 10 us, readable at once) and queue who
//! is to be told. The thread takes *all* that is queued, flushes once, and tells them in order. What arrives during a
//! flush shares the next one, so the batch grows with the load and a lone write waits for nothing but the disk. No timer.
//!
//! The queue is taken **before** the flush: every write in it happened before the flush began, so the flush covers it.
//! Taken after, a write that came during the flush would be called durable while it is not.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::counters::Counters;
use super::fatal::fatal_io;
use super::rocks::Rocks;

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
    rocks: Arc<Rocks>,
    counters: Arc<Counters>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

/// The jobs that wait. Their number is bounded by those who queue: openraft appends to a bounded channel's worth of
/// entries at a time.
#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    closed: bool,
}

impl Flusher {
    /// Starts the thread.
    pub(super) fn start(rocks: Arc<Rocks>, counters: Arc<Counters>) -> io::Result<Self> {
        let shared = Arc::new(Shared { rocks, counters, queue: Mutex::default(), wake: Condvar::new() });
        let thread = thread::Builder::new().name("log-flush".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
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
    fn run(&self) {
        loop {
            let (jobs, closed) = self.take();
            self.flush(jobs);
            if closed {
                return;
            }
        }
    }

    /// Waits for jobs and takes them all; also says whether they are the last.
    fn take(&self) -> (Vec<Job>, bool) {
        let mut queue = self.lock();
        while queue.jobs.is_empty() && !queue.closed {
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        (std::mem::take(&mut queue.jobs), queue.closed)
    }

    fn flush(&self, jobs: Vec<Job>) {
        let started = Instant::now();
        if let Err(error) = self.rocks.flush() {
            fail(jobs, &error);
        }
        self.counters
            .flushed(started.elapsed(), jobs.iter().filter(|job| matches!(job, Job::Tell(_))).count());
        for job in jobs {
            match job {
                Job::Tell(done) => done(Ok(())),
                Job::DropFiles(index) => self.drop_files(index),
            }
        }
    }

    fn drop_files(&self, index: u64) {
        if let Err(error) = self.rocks.drop_files(index) {
            fatal_io("freeing purged log files", &error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After a failed fsync nobody knows what is on disk, and trying again would say `Ok` for what is lost.
fn fail(jobs: Vec<Job>, error: &rocksdb::Error) -> ! {
    for job in jobs {
        if let Job::Tell(done) = job {
            done(Err(io::Error::other(error.to_string())));
        }
    }
    fatal_io("making the log durable", error)
}
