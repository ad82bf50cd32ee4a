//! One task on one child: send it, watch it, and say what became of it and of the child.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::Signal;

use super::child::{Child, End, Parts};
use super::frame::{self, Answer, ErrorReport, Usage};
use super::job::{Job, JobError, JobErrorKind, JobOutcome, JobSuccess};
use super::memory::tree_rss;
use super::options::PoolOptions;
use super::report;
use super::watch::{Act, Watch};
use super::zygote::PythonVersion;

/// How often the memory of a running task is looked at.
const SAMPLE_PERIOD: Duration = Duration::from_millis(100);
/// Lines of standard error in the report on a child that died.
const TAIL_LINES: usize = 20;

/// What the pool may do with the child afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It can take another task.
    Keep,
    /// It lives, but must not take another task.
    Retire,
    /// It has ended.
    Dead,
}

/// How the conversation with the child went.
enum Verdict {
    /// The child was dead before anything of the task was sent.
    NeverSent,
    Answered(Usage, Result<Bytes, ErrorReport>),
    /// The child is gone, or can no longer be talked to.
    Lost,
}

enum Event {
    Pipe,
    Time,
    Cancelled,
    Ended,
    Output,
}

/// Runs `job` on `child` to whatever end. `None`: the child had died while it was idle, and another can have the job.
pub(super) async fn run(
    child: &mut Child,
    job: &mut Job,
    options: &PoolOptions,
    python: PythonVersion,
) -> Option<(JobOutcome, Fate)> {
    let start = Instant::now();
    let mut watch = Watch::new(start, job.timeout, options.grace, options.memory_limit);
    let verdict = converse(child, job, &mut watch, options.result_bytes_max).await;
    child.tasks += 1;
    let run = match verdict {
        Verdict::NeverSent => return None,
        Verdict::Answered(usage, result) => {
            child.drain_output();
            let fate = fate(child, usage, &watch);
            let peak_rss = peak_rss(child, usage, &watch);
            child.peak_rss = usage.peak_rss;
            let result = result.map(JobSuccess).map_err(|error| Box::new(reported(error, &watch, start)));
            (outcome(child, result, Duration::from_nanos(usage.nanos), peak_rss), fate)
        }
        Verdict::Lost => {
            let end = child.reap().await;
            child.drain_output();
            let error = lost(child, end, &watch, start, python);
            let exit_peak = if let Some(End::Exit(exit)) = end { exit.peak_rss } else { 0 };
            let peak_rss = watch.peak_rss().max(exit_peak);
            (outcome(child, Err(Box::new(error)), start.elapsed(), peak_rss), Fate::Dead)
        }
    };
    Some(run)
}

async fn converse(child: &mut Child, job: &mut Job, watch: &mut Watch, result_bytes_max: usize) -> Verdict {
    let mut unsent = frame::encode_job(job, child.known.use_now(job.function));
    let whole = unsent.iter().map(Bytes::len).sum::<usize>();
    let mut next_sample = Instant::now() + SAMPLE_PERIOD;
    if child.send_some(&mut unsent).is_err() {
        let untouched = unsent.iter().map(Bytes::len).sum::<usize>() == whole;
        return if untouched { Verdict::NeverSent } else { Verdict::Lost };
    }
    loop {
        unsent.retain(|part| !part.is_empty());
        let deadline = watch.deadline().map_or(next_sample, |at| at.min(next_sample));
        let act = match next_event(child, job, deadline, !unsent.is_empty(), watch.cause().is_none()).await {
            Event::Pipe => match exchange(child, job, &mut unsent, result_bytes_max) {
                Ok(None) => None,
                Ok(Some(verdict)) => return verdict,
                Err(_) => return Verdict::Lost,
            },
            Event::Time => on_time(child, watch, &mut next_sample),
            Event::Cancelled => watch.on_cancel(Instant::now()),
            // Its last words may be a whole answer.
            Event::Ended => {
                return exchange(child, job, &mut unsent, result_bytes_max)
                    .ok()
                    .flatten()
                    .unwrap_or(Verdict::Lost);
            }
            Event::Output => None,
        };
        match act {
            Some(Act::Interrupt) => child.signal(Signal::USR1),
            Some(Act::Terminate) => child.signal_group(Signal::TERM),
            Some(Act::Kill) => {
                child.signal_group(Signal::KILL);
                return Verdict::Lost;
            }
            None => {}
        }
    }
}

/// Waits for the next thing to happen. Output comes last, so that a task that prints without pause
/// cannot outrun its own timeout.
async fn next_event(
    child: &mut Child,
    job: &Job,
    deadline: Instant,
    unsent: bool,
    may_be_cancelled: bool,
) -> Event {
    let Parts { commands, answers, stdout, stderr, output_buffer, process } = child.split();
    let (stdout_buffer, stderr_buffer) = output_buffer.split_at_mut(output_buffer.len() / 2);
    tokio::select! {
        biased;
        // An error shows itself again in the read that follows.
        _ = answers.readable() => Event::Pipe,
        _ = commands.writable(), if unsent => Event::Pipe,
        () = tokio::time::sleep_until(deadline.into()) => Event::Time,
        () = job.cancel.cancelled(), if may_be_cancelled => Event::Cancelled,
        _ = process.end() => Event::Ended,
        () = stdout.pump(stdout_buffer) => Event::Output,
        () = stderr.pump(stderr_buffer) => Event::Output,
    }
}

/// Moves bytes both ways; a verdict if the child has answered.
fn exchange(
    child: &mut Child,
    job: &mut Job,
    unsent: &mut [Bytes],
    result_bytes_max: usize,
) -> io::Result<Option<Verdict>> {
    // A child that is dying may have answered before: its answer counts more than our failed write.
    let sent = child.send_some(unsent);
    while let Some(answer) = child.receive(result_bytes_max)? {
        match answer {
            Answer::Started => {
                if let Some(started) = job.started.take() {
                    // Nobody has to wait for it.
                    let _ = started.send(());
                }
            }
            Answer::Progress(progress) => {
                if let Some(listener) = &job.progress {
                    let _ = listener.to.try_send((listener.lease, progress));
                }
            }
            Answer::Result { usage, payload } => return Ok(Some(Verdict::Answered(usage, Ok(payload)))),
            Answer::Error { usage, error } => return Ok(Some(Verdict::Answered(usage, Err(error)))),
            Answer::Pong => return Err(io::Error::other("the child answered a question that was not asked")),
        }
    }
    sent.map(|()| None)
}

fn on_time(child: &Child, watch: &mut Watch, next_sample: &mut Instant) -> Option<Act> {
    let now = Instant::now();
    if *next_sample <= now {
        *next_sample = now + SAMPLE_PERIOD;
        if let Some(act) = watch.on_memory(tree_rss(child.pid())) {
            return Some(act);
        }
    }
    watch.on_time(now)
}

/// A child is not used again after it was signalled (the signal may come late), when it left processes
/// behind (they end with it), and when its output can no longer be captured.
fn fate(child: &Child, usage: Usage, watch: &Watch) -> Fate {
    let mute = child.stdout.is_closed() || child.stderr.is_closed();
    if usage.leftovers || mute || watch.cause().is_some() { Fate::Retire } else { Fate::Keep }
}

/// A child only knows the peak of its whole life: it is this task's if it has risen.
fn peak_rss(child: &Child, usage: Usage, watch: &Watch) -> u64 {
    let sampled = watch.peak_rss();
    if usage.peak_rss > child.peak_rss || sampled == 0 { sampled.max(usage.peak_rss) } else { sampled }
}

/// An error that the child itself described.
fn reported(error: ErrorReport, watch: &Watch, start: Instant) -> JobError {
    let kind = JobErrorKind::reported(error.code, watch.cause());
    if matches!(kind, JobErrorKind::Timeout | JobErrorKind::Cancelled) {
        let message = report::stopped(&kind, start.elapsed().as_millis(), true);
        return report::ended_from_outside(kind, message, error.traceback);
    }
    let ErrorReport { type_name, message, traceback, bases, exception, .. } = error;
    JobError { kind, type_name, message, traceback, bases, exception }
}

/// The error of a task whose child is gone.
fn lost(child: &Child, end: Option<End>, watch: &Watch, start: Instant, python: PythonVersion) -> JobError {
    let tail = child.stderr.last_lines(TAIL_LINES);
    let (kind, message) = match (watch.cause(), end) {
        (Some(cause), _) => {
            let message = report::stopped(&cause, start.elapsed().as_millis(), false);
            (cause, message)
        }
        (None, Some(End::Exit(exit))) => report::crash(exit, python),
        (None, Some(End::ZygoteDied)) => {
            (JobErrorKind::Infrastructure, "the worker's process launcher died, and the task with it".into())
        }
        (None, None) => {
            let message = "the process that ran the task does not answer and cannot be killed".into();
            (JobErrorKind::Crash { exit_code: None, signal: None }, message)
        }
    };
    report::ended_from_outside(kind, message, tail)
}

fn outcome(
    child: &mut Child,
    result: Result<JobSuccess, Box<JobError>>,
    duration: Duration,
    peak_rss: u64,
) -> JobOutcome {
    JobOutcome { result, stdout: child.stdout.take(), stderr: child.stderr.take(), duration, peak_rss }
}
