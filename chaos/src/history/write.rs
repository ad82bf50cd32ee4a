//! Writing a history while it happens, from as many tasks and threads as there are.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Call, Event, Invoke, Line, Outcome, Return, Run};

/// Lines after which the buffer is written out: a crash of the harness loses at most so many.
const FLUSH_LINES: u32 = 256;

/// Stamps and writes events; a clone writes to the same history.
///
/// The clock is read under the lock, so lines are in the order of their times. Call [`Recorder::invoke`] before a request
/// is sent and [`Recorder::returned`] after its answer was read: then an operation really took place between its lines.
#[derive(Clone)]
pub struct Recorder {
    begun: Instant,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    out: BufWriter<Box<dyn Write + Send>>,
    unflushed: u32,
    next_op: u64,
    /// The first error: everything after it would only hide it.
    failed: Option<io::Error>,
}

impl Recorder {
    /// Begins a history in a new file.
    ///
    /// # Errors
    /// When the file is there already, or cannot be made.
    pub fn create(path: &Path, run: Run) -> io::Result<Self> {
        let file = fs_err::OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self::new(Box::new(file), run))
    }

    /// Begins a history in `out`.
    pub fn new(out: Box<dyn Write + Send>, run: Run) -> Self {
        let inner = Inner { out: BufWriter::new(out), unflushed: 0, next_op: 1, failed: None };
        let recorder = Self { begun: Instant::now(), inner: Arc::new(Mutex::new(inner)) };
        recorder.record(Event::Run(run));
        recorder
    }

    /// Microseconds since the start of the run: the clock of every line.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).expect("a run takes less than half a million years")
    }

    /// Writes a line about now.
    pub fn record(&self, event: Event) {
        let mut inner = self.lock();
        let at = self.now();
        inner.put(&Line { at, event });
    }

    /// Says that a call is about to be made; returns its number for [`Recorder::returned`].
    pub fn invoke(&self, process: u64, node: Option<u64>, call: Call) -> u64 {
        let mut inner = self.lock();
        let op = inner.next_op;
        inner.next_op += 1;
        let at = self.now();
        inner.put(&Line { at, event: Event::Invoke(Invoke { op, process, node, call }) });
        op
    }

    /// Says what came of a call, and as of which log index the answer holds, if it says so.
    pub fn returned(&self, op: u64, index: Option<u64>, outcome: Outcome) {
        self.record(Event::Return(Return { op, index, outcome }));
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The first error that this history ever met.
    pub fn flush(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.flush();
        inner.failed.take().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, line: &Line) {
        if self.failed.is_some() {
            return;
        }
        let mut text = serde_json::to_vec(line).expect("a line has no maps with keys that are not text");
        text.push(b'\n');
        if let Err(error) = self.out.write_all(&text) {
            self.failed = Some(error);
        }
        self.unflushed += 1;
        if self.unflushed >= FLUSH_LINES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.unflushed = 0;
        if let Err(error) = self.out.flush()
            && self.failed.is_none()
        {
            self.failed = Some(error);
        }
    }
}
