//! A long clean history: nothing is found, and it never lies in memory as a whole.

use std::io::{BufReader, Read};

use raftwork_api::kernel::{RequestId, Status, TaskId, Token};
use raftwork_chaos::check::{Verdict, check};
use raftwork_chaos::history::{
    Call, Concurrency, Event, Fingerprint, Grant, Invoke, Line, LogCommand, LogEntry, NodeDigest, Options,
    Outcome, Phase, Reader, Reply, Return,
};

use crate::script::{FUNCTION, WORKER, acquire, args, items, register, result, run, task};

/// Operations on each task: submit, acquire, read, complete, read.
const OPS: u64 = 5;
/// Entries of the log for each task.
const ENTRIES: u64 = 3;

/// Lines that are made when they are read.
struct Lines<I> {
    source: I,
    text: Vec<u8>,
    read: usize,
}

impl<I: Iterator<Item = Line>> Read for Lines<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.read == self.text.len() {
            let Some(line) = self.source.next() else { return Ok(0) };
            self.text.clear();
            serde_json::to_writer(&mut self.text, &line)?;
            self.text.push(b'\n');
            self.read = 0;
        }
        let count = buffer.len().min(self.text.len() - self.read);
        buffer[..count].copy_from_slice(&self.text[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}

/// Every task is under one key, and each has ended before the next is leased.
fn options() -> Options {
    Options { concurrency: Some(Concurrency { key: Fingerprint(15), max: 1 }), ..Options::default() }
}

fn operation(n: u64, step: u64) -> (Call, Outcome) {
    let (id, token) = (task(u128::from(n)), Token(n));
    let seen =
        |status| Outcome::Ok(Reply::Seen { status, token: Some(token), attempts: Some(0), result: None });
    match step {
        0 => {
            let call = Call::Submit {
                function: FUNCTION,
                key: Some(format!("key {n}")),
                options: options(),
                items: items(u128::from(n)),
                results: vec![result(u128::from(n))],
            };
            (call, Outcome::Ok(Reply::Submitted { tasks: vec![id], created: Some(1) }))
        }
        1 => {
            let LogCommand::Acquire { python, .. } = acquire(0) else { unreachable!("it is an acquire") };
            let request = RequestId::from_u128(u128::from(n));
            let grant = Grant { task: id, token, attempt: 1 };
            let call = Call::Acquire { worker: WORKER, request, max: 1, python };
            (call, Outcome::Ok(Reply::Granted { grants: vec![grant] }))
        }
        2 => (Call::Status { task: id, stale: false }, seen(Status::Running)),
        3 => {
            let done = Outcome::Ok(Reply::Done { status: Some(Status::Completed) });
            (Call::Complete { task: id, token, result: result(u128::from(n)) }, done)
        }
        _ => (Call::Status { task: id, stale: n.is_multiple_of(2) }, seen(Status::Completed)),
    }
}

fn calls(tasks: u64) -> impl Iterator<Item = Line> {
    (1..=tasks).flat_map(|n| (0..OPS).map(move |step| (n, step))).flat_map(|(n, step)| {
        let op = n * OPS + step;
        let (call, outcome) = operation(n, step);
        let invoke = Invoke { op, process: n % 20, node: Some(1 + n % 3), call };
        [
            Line { at: 100 * op, event: Event::Invoke(invoke) },
            Line { at: 100 * op + 50, event: Event::Return(Return { op, index: None, outcome }) },
        ]
    })
}

fn log(tasks: u64) -> impl Iterator<Item = LogEntry> {
    let entry = |index, command| LogEntry {
        index,
        term: 1,
        nodes: vec![1, 2, 3],
        wall_ms: 0,
        log_ms: Some(index),
        commands: vec![command],
    };
    let submit =
        |n: u64| LogCommand::Submit { function: FUNCTION, options: options(), items: items(u128::from(n)) };
    let complete = |n: u64| LogCommand::Complete {
        task: TaskId::from_u128(u128::from(n)),
        token: Token(n),
        result: result(u128::from(n)),
    };
    let of_task = move |n: u64| {
        let first = 2 + ENTRIES * (n - 1);
        [entry(first, submit(n)), entry(first + 1, acquire(u128::from(n))), entry(first + 2, complete(n))]
    };
    core::iter::once(entry(1, register())).chain((1..=tasks).flat_map(of_task))
}

fn history(tasks: u64) -> impl Read {
    let end = 100 * OPS * (tasks + 2);
    let at_end = move |event| Line { at: end, event };
    let mut header = run();
    header.faults.clear();
    let digests = (1..=3).map(move |node| {
        Event::Digest(NodeDigest { node, applied: 1 + ENTRIES * tasks, digest: "d".to_owned() })
    });
    let lines = core::iter::once(Line { at: 0, event: Event::Run(header) })
        .chain(calls(tasks))
        .chain([Phase::Heal, Phase::Settled].map(Event::Phase).map(at_end))
        .chain(digests.map(at_end))
        .chain(log(tasks).map(Event::Log).map(at_end));
    Lines { source: lines, text: Vec::new(), read: 0 }
}

/// Most memory that this process ever had, in bytes.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

fn is_silent(tasks: u64) {
    assert_eq!(args(1), items(1)[0].args);
    let judgement = check(Reader::new(BufReader::new(history(tasks))).unwrap()).unwrap();
    let found: Vec<_> = judgement.findings.iter().filter(|f| f.verdict != Verdict::Pass).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(judgement.counts.ok, OPS * tasks);
}

#[test]
fn a_clean_history_of_50_000_operations_is_silent() {
    is_silent(10_000);
}

#[test]
#[ignore = "measures the memory of its process, and must be alone in it: test.sh runs it so"]
fn a_clean_history_of_a_million_operations_is_silent_in_bounded_memory() {
    is_silent(200_000);
    // The file would have more than 700 MB, and its lines several times that in memory.
    let peak = peak_memory().unwrap_or(0);
    assert!(peak < 600 << 20, "{} MiB", peak >> 20);
}
