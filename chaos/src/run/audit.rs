//! The Raft log of a run, out of the audit files of its nodes: what each applied, in order.
//!
//! Audit files are written by the nodes before they apply an entry and outlive kills and power failures; the log itself
//! forgets what a snapshot covers. A node that installed a snapshot lacks the entries that it covers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, ensure};
use raftwork_api::kernel::{
    self, Command, Entry, InParts, Language, LeaseRef, Map, OnFailure, Register, RetryPolicy, Rule, Rules,
    Store, StorePart, Submit, TaskOptions,
};

use crate::history::{
    After, Concurrency, FailureKind, Fingerprint, LogCommand, LogEntry, LogItem, Options, Retry, Whole,
};

/// Length and checksum before every record.
const HEAD: usize = 8;
/// Index, term and node at its beginning.
const POSITION: usize = 24;
/// Why a log with tags is not read.
const TAGS: &str = "tags are not among what the checks know, and their load asks for none";

/// Entries by index; more than one under an index is a divergence, for the checkers to find.
type Found = BTreeMap<u64, BTreeMap<(u64, Vec<u8>), BTreeSet<u64>>>;

/// Reads the audit files of the given nodes.
///
/// # Errors
/// When a file cannot be read, or is not what a node writes.
pub(super) fn read<'p>(files: impl IntoIterator<Item = (u64, &'p Path)>) -> anyhow::Result<Vec<LogEntry>> {
    let mut found = Found::default();
    for (node, path) in files {
        let bytes = fs_err::read(path)?;
        add(&mut found, node, &bytes).with_context(|| format!("in {}", path.display()))?;
    }
    let mut entries = Vec::with_capacity(found.len());
    for (index, alike) in found {
        for ((term, bytes), nodes) in alike {
            entries.push(entry(index, term, &bytes, nodes.into_iter().collect())?);
        }
    }
    Ok(entries)
}

fn add(found: &mut Found, node: u64, mut bytes: &[u8]) -> anyhow::Result<()> {
    while let Some((record, rest)) = next_record(bytes)? {
        let (position, entry) = record.split_at(POSITION);
        let alike = found.entry(number(position, 0)).or_default();
        alike.entry((number(position, 8), entry.to_vec())).or_default().insert(node);
        bytes = rest;
    }
    Ok(())
}

/// The next record and what follows it; `None` at the end, which may be torn by a kill.
fn next_record(bytes: &[u8]) -> anyhow::Result<Option<(&[u8], &[u8])>> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(head[..4].try_into()?))?;
    let Some((record, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    let checksum = u32::from_le_bytes(head[4..].try_into()?);
    ensure!(length >= POSITION && crc32fast::hash(record) == checksum, "a record is damaged");
    Ok(Some((record, rest)))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

fn entry(index: u64, term: u64, bytes: &[u8], nodes: Vec<u64>) -> anyhow::Result<LogEntry> {
    if bytes.is_empty() {
        return Ok(LogEntry { index, term, nodes, log_ms: None, wall_ms: 0, commands: Vec::new() });
    }
    let entry: Entry = kernel::decode("entry", bytes).with_context(|| format!("entry {index}"))?;
    let commands = entry.commands.iter().map(command).collect::<anyhow::Result<_>>();
    let commands = commands.with_context(|| format!("entry {index}"))?;
    let (log_ms, wall_ms) = (Some(entry.log_time.0), entry.wall_time.0);
    Ok(LogEntry { index, term, nodes, log_ms, wall_ms, commands })
}

fn command(command: &Command) -> anyhow::Result<LogCommand> {
    Ok(match command {
        Command::Register(register) => registered(register),
        Command::Submit(plain) => submit(plain, options(&plain.options)),
        Command::SubmitUnder(under) => {
            let options = ruled(options(&under.submit.options), &under.rules)?;
            submit(&under.submit, options)
        }
        Command::Acquire(acquire) => LogCommand::Acquire {
            worker: acquire.worker,
            request: acquire.request,
            max: acquire.max,
            python: acquire.python,
        },
        Command::Extend(extend) => {
            let LeaseRef { task, token } = extend.lease;
            LogCommand::Extend { task, token, run_ms: extend.run.0 }
        }
        Command::Complete(complete) => {
            let LeaseRef { task, token } = complete.lease;
            LogCommand::Complete { task, token, result: Fingerprint::of_result(&complete.result) }
        }
        Command::StorePart(part) => stored_part(part),
        Command::CompleteInParts(complete) => {
            let LeaseRef { task, token } = complete.lease;
            LogCommand::CompleteInParts { task, token, whole: whole(&complete.parts) }
        }
        Command::Fail(fail) => {
            let LeaseRef { task, token } = fail.lease;
            let classes = [&fail.error.type_name].into_iter().chain(&fail.bases).cloned();
            let (kind, retryable) = (kind(fail.error.kind), fail.retryable);
            LogCommand::Fail { task, token, kind, classes: classes.collect(), retryable }
        }
        Command::Release(release) => {
            let LeaseRef { task, token } = release.lease;
            LogCommand::Release { task, token }
        }
        Command::Cancel(cancel) => LogCommand::Cancel { task: cancel.task },
        Command::Expire(expire) => {
            let lease = |(lease, started): &(LeaseRef, bool)| (lease.task, lease.token, *started);
            LogCommand::Expire { leases: expire.leases.iter().map(lease).collect() }
        }
        Command::Forget(forget) => LogCommand::Forget { tasks: forget.tasks.clone() },
        Command::Store(store) => stored(store),
        Command::Map(map) => mapped(map)?,
        Command::CancelMap(cancel) => LogCommand::CancelMap { map: cancel.map },
        Command::Redrive(redrive) => LogCommand::Redrive { task: redrive.task, into: redrive.into },
        Command::AcquireWith(_) => anyhow::bail!(TAGS),
        Command::SetLimit(_)
        | Command::PutSchedule(_)
        | Command::ChangeSchedule(_)
        | Command::Fire(_)
        | Command::Trigger(_) => {
            anyhow::bail!("the checks do not know {command:?}, and their load asks for none")
        }
    })
}

fn registered(register: &Register) -> LogCommand {
    let spec = &register.spec;
    LogCommand::Register {
        function: register.function,
        code: Fingerprint::of(&register.code),
        spec: Fingerprint::of(format!("{}\n{}", spec.name, language(spec.language)).as_bytes()),
        retry: retry(spec.retry),
        run_max_ms: spec.run_max.map(|run_max| run_max.0),
        retention_ms: spec.retention.0,
        python: spec.python,
    }
}

fn submit(submit: &Submit, options: Options) -> LogCommand {
    let item = |(task, args): &(_, bytes::Bytes)| LogItem { task: *task, args: Fingerprint::of(args) };
    let items = submit.items.iter().map(item).collect();
    LogCommand::Submit { function: submit.function, options, items }
}

/// The options with what the rules ask for.
fn ruled(mut options: Options, rules: &Rules) -> anyhow::Result<Options> {
    for rule in rules.iter() {
        match rule {
            Rule::NoRetry(names) => options.no_retry = names.iter().map(str::to_owned).collect(),
            Rule::StartBy(span) => options.start_by_ms = Some(span.0),
            Rule::Total(span) => options.total_ms = Some(span.0),
            Rule::RunAt(at) => options.run_at_ms = Some(at.0),
            Rule::Tags(_) => anyhow::bail!(TAGS),
            Rule::RedriveOf(task) => anyhow::bail!("a submit calls itself a redrive of task {task}"),
            Rule::Concurrency { key, max } => {
                options.concurrency = Some(Concurrency { key: Fingerprint::of(key.as_bytes()), max: *max });
            }
            Rule::InParts(parts) => options.in_parts = Some(Box::new(whole(parts))),
            Rule::After(after) => {
                let (tasks, all_the_same) = (after.tasks.clone(), after.on_failure == OnFailure::Run);
                options.after = Some(Box::new(After { tasks, all_the_same }));
            }
            Rule::Rate { .. } | Rule::Scheduled { .. } => {
                anyhow::bail!("the checks do not know {rule:?}, and their load asks for none")
            }
        }
    }
    Ok(options)
}

fn stored_part(stored: &StorePart) -> LogCommand {
    let StorePart { of, index, bytes } = stored;
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let (task, token, part) = (of.task, of.token, Fingerprint::of(bytes));
    LogCommand::StorePart { task, token, index: *index, part, bytes: size }
}

fn whole(parts: &InParts) -> Whole {
    Whole { count: parts.count, bytes: parts.bytes, digest: Fingerprint::of(&parts.digest) }
}

fn stored(store: &Store) -> LogCommand {
    let items = store.piece.from(0).map(|args| Fingerprint::of(&args)).collect();
    LogCommand::Store { map: store.map, index: store.index, items }
}

fn mapped(map: &Map) -> anyhow::Result<LogCommand> {
    Ok(LogCommand::Map {
        map: map.map,
        function: map.function,
        options: ruled(options(&map.options), &map.rules)?,
        pieces: map.pieces,
        digest: Fingerprint::of(&map.digest),
    })
}

const fn language(language: Language) -> &'static str {
    match language {
        Language::Pickle => "pickle",
        Language::Source => "source",
    }
}

const fn retry(policy: RetryPolicy) -> Retry {
    Retry { max_attempts: policy.max_attempts, initial_ms: policy.initial_ms, max_ms: policy.max_ms }
}

fn options(options: &TaskOptions) -> Options {
    Options {
        priority: Some(options.priority),
        delay_ms: Some(options.delay.0),
        retry: options.retry.map(retry),
        run_max_ms: options.run_max.map(|run_max| run_max.0),
        python: options.python,
        ..Options::default()
    }
}

const fn kind(kind: kernel::FailureKind) -> FailureKind {
    match kind {
        kernel::FailureKind::Exception => FailureKind::Exception,
        kernel::FailureKind::Timeout => FailureKind::Timeout,
        kernel::FailureKind::Unserializable => FailureKind::Unserializable,
        kernel::FailureKind::Load => FailureKind::Load,
        kernel::FailureKind::Crash { .. } => FailureKind::Crash,
        kernel::FailureKind::OutOfMemory { .. } => FailureKind::OutOfMemory,
        kernel::FailureKind::WorkerLost => FailureKind::WorkerLost,
        kernel::FailureKind::Expired => FailureKind::Expired,
        kernel::FailureKind::Dependency { .. } => FailureKind::Dependency,
    }
}

#[cfg(test)]
mod tests {
    use raftwork_api::kernel::{Cancel, LogTime, TaskId, WallTime, encode};

    use super::*;

    fn record(index: u64, entry: &[u8]) -> Vec<u8> {
        let numbers = [index, 1, 1].into_iter().flat_map(u64::to_le_bytes);
        let body: Vec<u8> = numbers.chain(entry.iter().copied()).collect();
        let head = [u32::try_from(body.len()).unwrap(), crc32fast::hash(&body)];
        head.into_iter().flat_map(u32::to_le_bytes).chain(body).collect()
    }

    fn cancel(task: u128) -> Vec<u8> {
        let commands = vec![Command::Cancel(Cancel { task: TaskId::from_u128(task) })];
        encode(&Entry { log_time: LogTime(5), wall_time: WallTime(0), commands })
    }

    #[test]
    fn entries_are_merged_by_index_and_what_differs_stays_apart() {
        let mut found = Found::default();
        let blank = record(1, &[]);
        let one = [blank.clone(), record(2, &cancel(7))].concat();
        // Node 2 applied an entry twice, after a crash, and its file is torn.
        let other = [blank.clone(), blank, record(2, &cancel(8))].concat();
        add(&mut found, 1, &one).unwrap();
        add(&mut found, 2, &[&other[..], &one[..20]].concat()).unwrap();
        let nodes: Vec<_> = found.iter().map(|(index, alike)| (*index, alike.values().count())).collect();
        assert_eq!(nodes, [(1, 1), (2, 2)]);
        let first = &found[&1];
        assert_eq!(first.values().next(), Some(&BTreeSet::from([1, 2])));
    }

    #[test]
    fn a_damaged_record_is_an_error_and_a_torn_one_is_the_end() {
        let mut bytes = record(1, &cancel(7));
        assert!(next_record(&bytes[..bytes.len() - 1]).unwrap().is_none());
        bytes[HEAD + 2] ^= 1;
        assert!(next_record(&bytes).is_err());
    }

    #[test]
    fn an_entry_is_written_down_in_the_words_of_the_history() {
        let entry = entry(9, 2, &cancel(7), vec![1]).unwrap();
        assert_eq!(entry.log_ms, Some(5));
        assert_eq!(entry.commands, [LogCommand::Cancel { task: TaskId::from_u128(7) }]);
    }
}
