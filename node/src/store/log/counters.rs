//! What the log has done since it was opened, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counters of one log. Each only rises.
#[derive(Debug, Default)]
pub struct Counters {
    fsyncs: AtomicU64,
    fsync_micros: AtomicU64,
    waiters: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    disk_reads: AtomicU64,
}

impl Counters {
    /// How often the disk was told to make the log durable.
    pub fn fsyncs(&self) -> u64 {
        self.fsyncs.load(Ordering::Relaxed)
    }

    /// Time spent in that, in microseconds.
    pub fn fsync_micros(&self) -> u64 {
        self.fsync_micros.load(Ordering::Relaxed)
    }

    /// Appends and votes that were answered; divided by [`Counters::fsyncs`], how many shared one.
    pub fn waiters(&self) -> u64 {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Records appended.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes of the values of appended records.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Reads that memory could not serve.
    pub fn disk_reads(&self) -> u64 {
        self.disk_reads.load(Ordering::Relaxed)
    }

    pub(super) fn flushed(&self, took: Duration, waiters: usize) {
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
        self.fsync_micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.waiters.fetch_add(waiters as u64, Ordering::Relaxed);
    }

    pub(super) fn appended(&self, records: usize, bytes: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read_disk(&self) {
        self.disk_reads.fetch_add(1, Ordering::Relaxed);
    }
}
