//! Lanes of writes, and what is said of their times.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Something that makes one durable write after another.
pub(crate) trait Writer: Send + 'static {
    /// Makes one write; returns when it was acknowledged.
    fn write(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// How long and how many at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Writes under way at a time.
    pub(crate) lanes: usize,
    /// Written before, not counted.
    pub(crate) warm_up: Duration,
    /// Counted, unless `writes` end it before.
    pub(crate) measured: Duration,
    /// Writes to make in all; without end if `None`.
    pub(crate) writes: Option<usize>,
}

/// Writes that may still be begun, shared by all lanes.
type Budget = Arc<AtomicUsize>;

/// What is printed. Times are those of whole writes, so of a batch where writes are batches.
#[derive(Debug, Serialize, PartialEq)]
pub(crate) struct Measured {
    /// Writes under way at a time.
    in_flight: usize,
    /// Items in one write.
    batch: usize,
    /// Items acknowledged.
    acked: usize,
    /// Time in which they were.
    seconds: f64,
    /// Items per second.
    rate: f64,
    /// Percentiles of the time that one write took.
    p50_ms: f64,
    p99_ms: f64,
    p99_9_ms: f64,
    max_ms: f64,
    /// Writes that failed, and what the first of them said.
    errors: usize,
    first_error: Option<String>,
}

/// What one lane saw.
#[derive(Debug, Default)]
struct Lane {
    took: Vec<Duration>,
    errors: Vec<String>,
}

/// Runs the writers side by side, one lane each.
pub(crate) async fn run<W: Writer>(plan: Plan, writers: Vec<W>, batch: usize) -> Measured {
    assert_eq!(writers.len(), plan.lanes, "a writer for each lane");
    let begin = Instant::now() + plan.warm_up;
    let end = begin + plan.measured;
    let budget: Budget = Arc::new(AtomicUsize::new(plan.writes.unwrap_or(usize::MAX)));
    let lanes: Vec<_> =
        writers.into_iter().map(|writer| tokio::spawn(lane(writer, begin, end, budget.clone()))).collect();
    let mut all = Lane::default();
    for lane in lanes {
        let lane = lane.await.expect("a lane returns its errors and does not panic");
        all.took.extend(lane.took);
        all.errors.extend(lane.errors);
    }
    let seconds = begin.elapsed().min(plan.measured).as_secs_f64();
    summarize(plan.lanes, batch, seconds, all)
}

/// Writes until the end; counts what both begins and ends within the measured time.
///
/// What is cut off at either end is one write of each lane, less than one in a thousand at the rates of interest.
async fn lane<W: Writer>(mut writer: W, begin: Instant, end: Instant, budget: Budget) -> Lane {
    let mut lane = Lane::default();
    while take_one(&budget) {
        let sent = Instant::now();
        if sent >= end {
            break;
        }
        let outcome = writer.write().await;
        let now = Instant::now();
        match outcome {
            Ok(()) if now >= begin && now <= end => lane.took.push(now - sent),
            Ok(()) => {}
            Err(error) => {
                lane.errors.push(format!("{error:#}"));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    lane
}

fn take_one(budget: &AtomicUsize) -> bool {
    budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn summarize(in_flight: usize, batch: usize, seconds: f64, mut all: Lane) -> Measured {
    all.took.sort_unstable();
    let acked = all.took.len() * batch;
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let rate = acked as f64 / seconds;
    Measured {
        in_flight,
        batch,
        acked,
        seconds,
        rate,
        p50_ms: percentile_ms(&all.took, 500),
        p99_ms: percentile_ms(&all.took, 990),
        p99_9_ms: percentile_ms(&all.took, 999),
        max_ms: percentile_ms(&all.took, 1000),
        errors: all.errors.len(),
        first_error: all.errors.into_iter().next(),
    }
}

/// The nearest rank; 0 if nothing was measured.
fn percentile_ms(sorted: &[Duration], per_mille: usize) -> f64 {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).map_or(0.0, |took| took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
        let found = [500, 990, 999, 1000].map(|per_mille| percentile_ms(&sorted, per_mille).round());
        assert_eq!(found.map(|ms| format!("{ms}")), ["500", "990", "999", "1000"]);
        assert!(percentile_ms(&[], 500).abs() < f64::EPSILON);
    }
}
