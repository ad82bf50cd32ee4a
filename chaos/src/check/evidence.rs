//! One pass over a history: what it says, sorted by what it is about. Lines are dropped as they are read; what is kept is
//! about a hundred bytes for each operation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::BufRead;

use raftwork_api::kernel::{FunctionId, RequestId, TaskId};

use super::dossier::{Act, Deed, Dossier, Saw, Sight};
use super::rates::Rates;
use super::replay::{Log, Model};
use super::verdict::Inquiry;
use crate::history::{
    Call, Event, Fault, Fingerprint, Invoke, Leader, Line, LogCommand, LogEntry, LogItem, NodeDigest,
    Options, Outcome, Phase, ReadError, Reader, Reason, Reply, Return, Run,
};

/// Fingerprint of what makes two submits of a task the same request.
pub(crate) fn request_of(function: FunctionId, options: &Options, args: Fingerprint) -> Fingerprint {
    let Options {
        concurrency,
        retry,
        run_max_ms,
        python,
        no_retry,
        start_by_ms,
        total_ms,
        run_at_ms,
        in_parts,
        after,
        ..
    } = options;
    let (priority, delay) = (options.priority(), options.delay_ms());
    let plain = format!("{function} {args} {priority} {delay} {retry:?} {run_max_ms:?} {python:?}");
    let text = format!("{plain} {no_retry:?} {start_by_ms:?} {total_ms:?} {run_at_ms:?} {concurrency:?}");
    // Arguments in parts are what is said of them.
    let text = in_parts.as_ref().map_or_else(|| text.clone(), |whole| format!("{text} {whole:?}"));
    let text = after.as_ref().map_or_else(|| text.clone(), |after| format!("{text} {after:?}"));
    Fingerprint::of(text.as_bytes())
}

/// A submit under an idempotency key.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    pub(crate) op: u64,
    pub(crate) process: u64,
    pub(crate) from: u64,
    pub(crate) to: Option<u64>,
    /// Of function, options and arguments.
    pub(crate) request: Fingerprint,
    /// The ids that came back; none if it was refused or unanswered.
    pub(crate) tasks: Vec<TaskId>,
    /// The ids that the key stands for, as the caller computed them.
    pub(crate) expected: Vec<TaskId>,
    pub(crate) saw: Saw,
}

/// How many operations ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Carried out.
    pub ok: u64,
    /// Refused by the state machine.
    pub refused: u64,
    /// Of those, as stale.
    pub stale: u64,
    /// Surely not carried out.
    pub failed: u64,
    /// Nobody can tell, or never answered.
    pub unknown: u64,
}

impl Counts {
    /// Operations that were answered.
    pub const fn answered(&self) -> u64 {
        self.ok + self.refused
    }
}

/// What a history says.
pub(crate) struct Evidence {
    pub(crate) run: Run,
    pub(crate) tasks: BTreeMap<TaskId, Dossier>,
    pub(crate) keys: BTreeMap<String, Vec<Keyed>>,
    /// Functions that the callers of this history submit: every one of their tasks is in it.
    pub(crate) functions: BTreeSet<FunctionId>,
    pub(crate) faults: Vec<(u64, Fault)>,
    pub(crate) phases: Vec<(u64, Phase)>,
    pub(crate) leaders: Vec<(u64, Leader)>,
    pub(crate) digests: Vec<(u64, NodeDigest)>,
    pub(crate) log: Log,
    pub(crate) counts: Counts,
    pub(crate) rates: Rates,
    /// Time of the last line.
    pub(crate) end: u64,
    pub(crate) torn: bool,
}

impl Evidence {
    /// Reads a history to its end.
    ///
    /// # Errors
    /// When a line is damaged or contradicts one before it.
    pub(crate) fn gather<R: BufRead>(
        reader: &mut Reader<R>,
        mut each: impl FnMut(&Line) -> std::io::Result<()>,
    ) -> Result<Self, ReadError> {
        let mut gatherer = Gatherer::new(reader.run().clone());
        while let Some(line) = reader.next() {
            let line = line?;
            each(&line).map_err(|error| reader.wrong(Reason::Io(error)))?;
            let taken = gatherer.take(line);
            taken.map_err(|what| reader.wrong(Reason::Contradiction(what)))?;
        }
        gatherer.evidence.torn = reader.torn();
        Ok(gatherer.close())
    }

    /// Notes that an inquiry would need the log, which is not there for this reason.
    pub(super) fn lacks_log(&self, inquiry: &mut Inquiry, why: String) {
        if self.run.without_log {
            inquiry.untried("needs the Raft log, which the nodes of others keep to themselves");
        } else {
            inquiry.missing(why);
        }
    }

    /// When the run entered a phase.
    pub(crate) fn phase(&self, phase: Phase) -> Option<u64> {
        self.phases.iter().find(|(_, entered)| *entered == phase).map(|(at, _)| *at)
    }
}

/// An operation that has no answer yet.
struct Open {
    at: u64,
    invoke: Invoke,
}

/// Numbers of operations that were seen. They count up from 1 in a history of ours; what comes out of order is remembered one
/// by one.
#[derive(Default)]
struct Numbers {
    /// All up to this one were.
    all_to: u64,
    beyond: BTreeSet<u64>,
}

impl Numbers {
    /// False if this one was seen before.
    fn take(&mut self, number: u64) -> bool {
        let is_new = number > self.all_to && self.beyond.insert(number);
        while self.beyond.remove(&(self.all_to + 1)) {
            self.all_to += 1;
        }
        is_new
    }
}

struct Gatherer {
    evidence: Evidence,
    open: HashMap<u64, Open>,
    numbers: Numbers,
    busy: HashMap<u64, u64>,
    retired: BTreeSet<u64>,
    /// First acquire under each request id.
    requests: HashMap<RequestId, u64>,
    model: Model,
}

impl Gatherer {
    fn new(run: Run) -> Self {
        let evidence = Evidence {
            run,
            tasks: BTreeMap::new(),
            keys: BTreeMap::new(),
            functions: BTreeSet::new(),
            faults: Vec::new(),
            phases: Vec::new(),
            leaders: Vec::new(),
            digests: Vec::new(),
            log: Log::default(),
            counts: Counts::default(),
            rates: Rates::default(),
            end: 0,
            torn: false,
        };
        Self {
            evidence,
            open: HashMap::new(),
            numbers: Numbers::default(),
            busy: HashMap::new(),
            retired: BTreeSet::new(),
            requests: HashMap::new(),
            model: Model::default(),
        }
    }

    fn take(&mut self, Line { at, event }: Line) -> Result<(), String> {
        self.evidence.end = at;
        match event {
            Event::Run(_) => {}
            Event::Invoke(invoke) => self.invoke(at, invoke)?,
            Event::Return(answer) => self.answer(at, &answer)?,
            Event::Fault(fault) => self.evidence.faults.push((at, fault)),
            Event::Phase(phase) => self.evidence.phases.push((at, phase)),
            Event::Leader(leader) => self.evidence.leaders.push((at, leader)),
            Event::Digest(digest) => self.evidence.digests.push((at, digest)),
            Event::Log(entry) => self.log(&entry),
            Event::Effect(effect) => {
                let dossier = self.evidence.tasks.entry(effect.task).or_default();
                dossier.effects.push((at, effect.token.0, effect.accepted));
                dossier.runs.push(effect.pids);
            }
        }
        Ok(())
    }

    fn invoke(&mut self, at: u64, invoke: Invoke) -> Result<(), String> {
        let Invoke { op, process, .. } = invoke;
        if !self.numbers.take(op) {
            return Err(format!("operation {op} is invoked a second time"));
        }
        if self.retired.contains(&process) {
            return Err(format!("process {process} asks again after an unknown outcome"));
        }
        if let Some(other) = self.busy.insert(process, op) {
            return Err(format!("process {process} begins operation {op} while {other} is under way"));
        }
        if let Call::Acquire { request, .. } = &invoke.call {
            self.requests.entry(*request).or_insert(at);
        }
        self.open.insert(op, Open { at, invoke });
        Ok(())
    }

    fn answer(&mut self, at: u64, answer: &Return) -> Result<(), String> {
        let op = answer.op;
        let open = self
            .open
            .remove(&op)
            .ok_or_else(|| format!("operation {op} returns, but it is not under way"))?;
        self.busy.remove(&open.invoke.process);
        let Counts { ok, refused, stale, failed, unknown } = &mut self.evidence.counts;
        match &answer.outcome {
            Outcome::Ok(_) => *ok += 1,
            Outcome::Refused { code, .. } => {
                *refused += 1;
                *stale += u64::from(*code == crate::history::Refusal::StaleLease);
            }
            Outcome::Fail { .. } => *failed += 1,
            Outcome::Info { .. } => {
                *unknown += 1;
                self.retired.insert(open.invoke.process);
            }
        }
        self.evidence.rates.note(open.at, at, &answer.outcome);
        if !matches!(answer.outcome, Outcome::Fail { .. }) {
            self.file(&open, Some((at, answer)))?;
        }
        Ok(())
    }

    /// Puts an operation into the dossiers of the tasks that it is about.
    fn file(&mut self, open: &Open, answer: Option<(u64, &Return)>) -> Result<(), String> {
        let Invoke { op, process, node, call } = &open.invoke;
        let outcome = answer.map(|(_, answer)| &answer.outcome);
        let known = outcome.filter(|outcome| !matches!(outcome, Outcome::Info { .. }));
        let to = known.and(answer).map(|(at, _)| at);
        let index = answer.and_then(|(_, answer)| answer.index);
        let saw = what_was_seen(call, known)?;
        let deed = |act| Deed { op: *op, process: *process, node: *node, from: open.at, to, act, saw };
        match call {
            Call::Submit { function, key, options, items, results } => {
                self.evidence.functions.insert(*function);
                // Another request under a taken key is refused, and says nothing of the task.
                if matches!(known, Some(Outcome::Ok(_))) {
                    self.expect(items, options, results);
                }
                for item in items {
                    if let Some(limit) = options.concurrency {
                        self.dossier(item.task).limit = Some(limit);
                    }
                    let request = request_of(*function, options, item.args);
                    let act = Act::Submit { request, delay_ms: options.delay_ms() };
                    self.dossier(item.task).add(deed(act));
                }
                if let Some(key) = key {
                    let keyed = keyed(&deed(Act::Cancel), *function, options, items, known);
                    self.evidence.keys.entry(key.clone()).or_default().push(keyed);
                }
            }
            Call::Acquire { request, .. } => {
                let from = self.requests.get(request).copied().unwrap_or(open.at);
                if let Some(Outcome::Ok(Reply::Granted { grants })) = known {
                    for grant in grants {
                        let act = Act::Grant { token: grant.token.0, attempt: grant.attempt };
                        self.dossier(grant.task).add(Deed { from, ..deed(act) });
                    }
                }
            }
            Call::Extend { task, token, .. } => {
                self.dossier(*task).add(deed(Act::Extend { token: token.0 }));
            }
            Call::Complete { task, token, result } => {
                self.dossier(*task).add(deed(Act::Complete { token: token.0, result: *result }));
            }
            Call::Fail { task, token, .. } => {
                self.dossier(*task).add(deed(Act::Fail { token: token.0 }));
            }
            Call::Release { task, token } => {
                self.dossier(*task).add(deed(Act::Release { token: token.0 }));
            }
            Call::Cancel { task } => self.dossier(*task).add(deed(Act::Cancel)),
            Call::Status { task, stale } | Call::Result { task, stale } if known.is_some() => {
                self.dossier(*task).add(deed(Act::Read { stale: *stale, index }));
            }
            Call::Register { .. }
            | Call::Start { .. }
            | Call::Heartbeat { .. }
            | Call::Status { .. }
            | Call::Result { .. } => {}
        }
        Ok(())
    }

    /// What is to come of tasks that were accepted, as their caller was told.
    fn expect(&mut self, items: &[LogItem], options: &Options, results: &[Fingerprint]) {
        for (item, result) in items.iter().zip(results) {
            self.dossier(item.task).due = Some(*result);
        }
        for item in items.iter().filter(|_| options.after.is_some()) {
            self.dossier(item.task).after.clone_from(&options.after);
        }
    }

    fn dossier(&mut self, task: TaskId) -> &mut Dossier {
        self.evidence.tasks.entry(task).or_default()
    }

    fn log(&mut self, entry: &LogEntry) {
        if !self.evidence.log.accept(entry) {
            return;
        }
        for command in &entry.commands {
            if let LogCommand::Submit { function, items, .. } = command {
                for item in items {
                    self.dossier(item.task).function = Some(*function);
                }
            }
        }
        let told = self.model.apply(entry);
        self.evidence.log.expiries += told.expiries;
        self.evidence.log.released += told.released;
        self.evidence.log.broken += told.broken;
        let parts = &mut self.evidence.log.parts;
        parts.arguments += told.parts.arguments;
        parts.results += told.parts.results;
        parts.across += told.parts.across;
        for (task, fact) in told.facts {
            self.dossier(task).facts.push(fact);
        }
        for (task, moment) in told.moments {
            self.dossier(task).moments.push(moment);
        }
    }

    fn close(mut self) -> Evidence {
        let mut open: Vec<Open> = core::mem::take(&mut self.open).into_values().collect();
        open.sort_by_key(|open| open.invoke.op);
        for open in open {
            self.evidence.counts.unknown += 1;
            self.file(&open, None).expect("without an answer there is none that does not fit");
        }
        for dossier in self.evidence.tasks.values_mut() {
            dossier.deeds.sort_by_key(|deed| (deed.from, deed.op));
        }
        self.evidence
    }
}

/// A submit as the use of a key; `deed` lends it time, process and answer.
fn keyed(
    deed: &Deed,
    function: FunctionId,
    options: &Options,
    items: &[LogItem],
    known: Option<&Outcome>,
) -> Keyed {
    let request = |item: &LogItem| request_of(function, options, item.args).to_string();
    let requests: Vec<String> = items.iter().map(request).collect();
    let tasks = match known {
        Some(Outcome::Ok(Reply::Submitted { tasks, .. })) => tasks.clone(),
        _ => Vec::new(),
    };
    Keyed {
        op: deed.op,
        process: deed.process,
        from: deed.from,
        to: deed.to,
        request: Fingerprint::of(requests.join(" ").as_bytes()),
        tasks,
        expected: items.iter().map(|item| item.task).collect(),
        saw: deed.saw,
    }
}

/// What an answer says of each task that its call is about.
fn what_was_seen(call: &Call, outcome: Option<&Outcome>) -> Result<Saw, String> {
    Ok(match (call, outcome) {
        (_, None | Some(Outcome::Info { .. } | Outcome::Fail { .. })) => Saw::Unknown,
        (_, Some(Outcome::Refused { code, current })) => Saw::Refused(*code, current.map(|token| token.0)),
        (
            Call::Status { .. } | Call::Result { .. },
            Some(Outcome::Ok(Reply::Seen { status, token, attempts, result })),
        ) => {
            let token = token.map(|token| token.0);
            Saw::Seen(Sight { status: *status, token, attempts: *attempts, result: *result })
        }
        (Call::Submit { .. }, Some(Outcome::Ok(Reply::Submitted { .. })))
        | (Call::Acquire { .. }, Some(Outcome::Ok(Reply::Granted { .. })))
        | (Call::Register { .. }, Some(Outcome::Ok(Reply::Registered { .. })))
        | (Call::Start { .. } | Call::Heartbeat { .. }, Some(Outcome::Ok(Reply::Beat { .. }))) => {
            Saw::Ok(None)
        }
        (
            Call::Extend { .. }
            | Call::Complete { .. }
            | Call::Fail { .. }
            | Call::Release { .. }
            | Call::Cancel { .. },
            Some(Outcome::Ok(Reply::Done { status })),
        ) => Saw::Ok(*status),
        (call, Some(Outcome::Ok(reply))) => {
            return Err(format!("{reply:?} is no answer to {}", call.name()));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_once_whatever_the_order() {
        let mut numbers = Numbers::default();
        let taken = [2, 1, 2, 5, 3, 4, 1, 5, 6].map(|number| numbers.take(number));
        assert_eq!(taken, [true, true, false, true, true, true, false, false, true]);
        assert_eq!((numbers.all_to, numbers.beyond.len()), (6, 0));
    }
}
