//! A small run of which every line is under the test's control: what clients saw, and what the log says.

use std::io::Cursor;

use raftwork_api::kernel::{FunctionId, PythonVersion, RequestId, Status, TaskId, Token, WorkerId};
use raftwork_chaos::check::{Invariant, Judgement, Verdict, check};
use raftwork_chaos::history::{
    Call, Effect, Event, FORMAT, FailureKind, Fault, FaultStep, Fingerprint, Grant, Invoke, Leader, Line,
    LogCommand, LogEntry, LogItem, NodeDigest, Options, Outcome, Phase, Reader, Refusal, Reply, Retry,
    Return, Run, Wanted,
};

pub(crate) const FUNCTION: FunctionId = FunctionId::from_u128(0xf);
pub(crate) const WORKER: WorkerId = WorkerId::from_u128(0xa);
const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11 };
/// What the leader's calendar says when log time begins.
pub(crate) const CALENDAR: u64 = 1_795_000_000_000;
/// Microseconds from one line to the next.
const STEP: u64 = 1_000;

pub(crate) fn task(n: u128) -> TaskId {
    TaskId::from_u128(n)
}

pub(crate) fn args(n: u128) -> Fingerprint {
    Fingerprint::of(&n.to_be_bytes())
}

pub(crate) fn result(n: u128) -> Fingerprint {
    Fingerprint::of(format!("result {n}").as_bytes())
}

/// A header that asks for nothing.
pub(crate) fn run() -> Run {
    Run {
        format: FORMAT,
        seed: 7,
        nodes: vec![1, 2, 3],
        commit: "abc".to_owned(),
        command: "raftwork-chaos run --seed 7".to_owned(),
        started: String::new(),
        settings: std::collections::BTreeMap::new(),
        faults: vec!["kill-leader".to_owned()],
        skipped: std::collections::BTreeMap::new(),
        wanted: Wanted::default(),
        without_log: false,
    }
}

pub(crate) fn register() -> LogCommand {
    LogCommand::Register {
        function: FUNCTION,
        code: Fingerprint(1),
        spec: Fingerprint(2),
        retry: Retry { max_attempts: 3, initial_ms: 0, max_ms: 0 },
        run_max_ms: None,
        retention_ms: 86_400_000,
        python: None,
    }
}

pub(crate) fn items(n: u128) -> Vec<LogItem> {
    vec![LogItem { task: task(n), args: args(n) }]
}

pub(crate) fn acquire(request: u128) -> LogCommand {
    LogCommand::Acquire { worker: WORKER, request: RequestId::from_u128(request), max: 1, python: PYTHON }
}

/// A run being written.
pub(crate) struct Script {
    pub(crate) run: Run,
    at: u64,
    ops: u64,
    lines: Vec<Line>,
    log: Vec<LogEntry>,
}

impl Script {
    /// A run with one registered function.
    pub(crate) fn new() -> Self {
        let mut script = Self { run: run(), at: 0, ops: 0, lines: Vec::new(), log: Vec::new() };
        script.event(Event::Phase(Phase::Load));
        script.log(register());
        script
    }

    pub(crate) fn event(&mut self, event: Event) -> &mut Self {
        self.at += STEP;
        self.lines.push(Line { at: self.at, event });
        self
    }

    /// The next entry of the log, with one command. Log time passes a millisecond an entry.
    pub(crate) fn log(&mut self, command: LogCommand) -> &mut Self {
        let index = self.log.len() as u64 + 1;
        let (nodes, log_ms, wall_ms) = (vec![1, 2, 3], Some(index), CALENDAR + index);
        let entry = LogEntry { index, term: 1, nodes, log_ms, wall_ms, commands: vec![command] };
        self.log.push(entry);
        self
    }

    /// The entries so far, to be changed.
    pub(crate) fn entries(&mut self) -> &mut Vec<LogEntry> {
        &mut self.log
    }

    pub(crate) fn invoke(&mut self, call: Call) -> u64 {
        self.ops += 1;
        let op = self.ops;
        // A process for each operation: none is ever busy or retired.
        self.event(Event::Invoke(Invoke { op, process: op, node: Some(1), call }));
        op
    }

    pub(crate) fn answer(&mut self, op: u64, index: Option<u64>, outcome: Outcome) -> &mut Self {
        self.event(Event::Return(Return { op, index, outcome }))
    }

    pub(crate) fn call(&mut self, call: Call, outcome: Outcome) -> &mut Self {
        let op = self.invoke(call);
        self.answer(op, None, outcome)
    }

    pub(crate) fn submit_as(&mut self, n: u128, args: Fingerprint, key: Option<&str>) -> &mut Self {
        self.submit_all(&[(n, args)], key)
    }

    /// A client submits several with one call.
    pub(crate) fn submit_all(&mut self, all: &[(u128, Fingerprint)], key: Option<&str>) -> &mut Self {
        let tasks: Vec<TaskId> = all.iter().map(|(n, _)| task(*n)).collect();
        let call = Call::Submit {
            function: FUNCTION,
            key: key.map(str::to_owned),
            options: Options::default(),
            items: all.iter().map(|(n, args)| LogItem { task: task(*n), args: *args }).collect(),
            results: all.iter().map(|(n, _)| result(*n)).collect(),
        };
        self.call(call, Outcome::Ok(Reply::Submitted { tasks, created: None }))
    }

    /// A client submits, and the log has it.
    pub(crate) fn submit(&mut self, n: u128) -> &mut Self {
        self.log(LogCommand::Submit { function: FUNCTION, options: Options::default(), items: items(n) });
        self.submit_as(n, args(n), None)
    }

    /// As [`Self::submit`], asking for more.
    pub(crate) fn submit_with(&mut self, n: u128, options: &Options) -> &mut Self {
        let (options, items) = (options.clone(), items(n));
        self.log(LogCommand::Submit { function: FUNCTION, options: options.clone(), items: items.clone() });
        let call = Call::Submit { function: FUNCTION, key: None, options, items, results: vec![result(n)] };
        self.call(call, Outcome::Ok(Reply::Submitted { tasks: vec![task(n)], created: None }))
    }

    /// A worker reports a failure, and is told where the task stands.
    pub(crate) fn fail(&mut self, n: u128, token: u64, class: &str, status: Status) -> &mut Self {
        let (kind, classes) = (FailureKind::Exception, vec![class.to_owned(), "Exception".to_owned()]);
        let (task, token, retryable) = (task(n), Token(token), true);
        self.log(LogCommand::Fail { task, token, kind, classes: classes.clone(), retryable });
        let call = Call::Fail { task, token, kind, classes, retryable };
        self.call(call, Outcome::Ok(Reply::Done { status: Some(status) }))
    }

    /// The log goes on by so many entries that ask for nothing, and so by as many milliseconds.
    pub(crate) fn idle(&mut self, entries: u64) -> &mut Self {
        for _ in 0..entries {
            self.log(LogCommand::Expire { leases: Vec::new() });
        }
        self
    }

    /// A worker is told of a grant.
    pub(crate) fn told_grant(&mut self, n: u128, token: u64, attempt: u16) -> &mut Self {
        let request = RequestId::from_u128(1_000_000 + u128::from(self.ops));
        let call = Call::Acquire { worker: WORKER, request, max: 1, python: PYTHON };
        let grant = Grant { task: task(n), token: Token(token), attempt };
        self.call(call, Outcome::Ok(Reply::Granted { grants: vec![grant] }))
    }

    /// A worker acquires, and the log has it.
    pub(crate) fn grant(&mut self, n: u128, token: u64, attempt: u16) -> &mut Self {
        self.log(acquire(2_000_000 + u128::from(token)));
        self.told_grant(n, token, attempt)
    }

    pub(crate) fn told_complete(&mut self, n: u128, token: u64) -> &mut Self {
        let call = Call::Complete { task: task(n), token: Token(token), result: result(n) };
        self.call(call, Outcome::Ok(Reply::Done { status: Some(Status::Completed) }))
    }

    pub(crate) fn complete(&mut self, n: u128, token: u64) -> &mut Self {
        self.log(LogCommand::Complete { task: task(n), token: Token(token), result: result(n) });
        self.told_complete(n, token)
    }

    /// A reader sees a task, on the linearizable path.
    pub(crate) fn read(&mut self, n: u128, status: Status, token: u64, attempts: u32) -> &mut Self {
        let seen = Reply::Seen { status, token: Some(Token(token)), attempts: Some(attempts), result: None };
        self.call(Call::Status { task: task(n), stale: false }, Outcome::Ok(seen))
    }

    pub(crate) fn read_result(&mut self, n: u128, result: Fingerprint) -> &mut Self {
        let seen =
            Reply::Seen { status: Status::Completed, token: None, attempts: None, result: Some(result) };
        self.call(Call::Result { task: task(n), stale: false }, Outcome::Ok(seen))
    }

    pub(crate) fn read_nothing(&mut self, n: u128) -> &mut Self {
        let unknown = Outcome::Refused { code: Refusal::UnknownTask, current: None };
        self.call(Call::Status { task: task(n), stale: false }, unknown)
    }

    pub(crate) fn effect(&mut self, n: u128, token: u64, accepted: bool) -> &mut Self {
        self.effect_of(n, token, accepted, Vec::new())
    }

    /// The same, by a process with these ancestors.
    pub(crate) fn effect_of(&mut self, n: u128, token: u64, accepted: bool, pids: Vec<u32>) -> &mut Self {
        self.event(Event::Effect(Effect { task: task(n), token: Token(token), accepted, pids }))
    }

    /// Worker processes are killed.
    pub(crate) fn kill_workers(&mut self, workers: Vec<u32>) -> &mut Self {
        let (name, detail) = ("dev-kill-workers".to_owned(), "kill -9".to_owned());
        let fault = Fault { id: 2, name, step: FaultStep::Start, nodes: vec![], workers, detail };
        let over = Fault { step: FaultStep::Stop { happened: true }, workers: Vec::new(), ..fault.clone() };
        self.event(Event::Fault(fault)).event(Event::Fault(over))
    }

    pub(crate) fn fault(&mut self) -> &mut Self {
        for step in [FaultStep::Start, FaultStep::Stop { happened: true }] {
            let (name, detail) = ("kill-leader".to_owned(), "kill -9".to_owned());
            self.event(Event::Fault(Fault { id: 1, name, step, nodes: vec![1], workers: vec![], detail }));
        }
        self.event(Event::Leader(Leader { node: 1, term: 1 }));
        self.event(Event::Leader(Leader { node: 2, term: 2 }))
    }

    pub(crate) fn settle(&mut self) -> &mut Self {
        for phase in [Phase::Heal, Phase::Drain, Phase::Settled] {
            self.event(Event::Phase(phase));
        }
        self
    }

    pub(crate) fn digest(&mut self, node: u64, digest: &str) -> &mut Self {
        let (applied, digest) = (self.log.len() as u64, digest.to_owned());
        self.event(Event::Digest(NodeDigest { node, applied, digest }))
    }

    /// The run as a file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut lines = vec![Line { at: 0, event: Event::Run(self.run.clone()) }];
        lines.extend(self.lines.iter().cloned());
        lines.extend(self.log.iter().cloned().map(|entry| Line { at: self.at, event: Event::Log(entry) }));
        let text = |line: &Line| serde_json::to_string(line).unwrap() + "\n";
        lines.iter().map(text).collect::<String>().into_bytes()
    }

    pub(crate) fn judge(&self) -> Judgement {
        check(Reader::new(Cursor::new(self.bytes())).unwrap()).unwrap()
    }

    /// Ids of the invariants that were violated.
    pub(crate) fn violated(&self) -> Vec<Invariant> {
        self.judge().with(Verdict::Violated).collect()
    }
}

/// Two tasks run, one of them twice because its first lease was given back, under a fault; everything is as it should be.
pub(crate) fn clean() -> Script {
    let mut script = Script::new();
    script.submit(1).grant(1, 1, 1).read(1, Status::Running, 1, 0).fault();
    script.effect(1, 1, true).complete(1, 1).read(1, Status::Completed, 1, 0).read_result(1, result(1));
    script.submit(2).grant(2, 2, 1);
    script.log(LogCommand::Release { task: task(2), token: Token(2) });
    script.call(
        Call::Release { task: task(2), token: Token(2) },
        Outcome::Ok(Reply::Done { status: Some(Status::Queued) }),
    );
    script.grant(2, 3, 1);
    script.log(LogCommand::Complete { task: task(2), token: Token(2), result: result(2) });
    script.call(
        Call::Complete { task: task(2), token: Token(2), result: result(2) },
        Outcome::Refused { code: Refusal::StaleLease, current: Some(Token(3)) },
    );
    script.complete(2, 3);
    script
}

/// Digests of all nodes, and a last look at the tasks of [`clean`].
pub(crate) fn end(script: &mut Script) -> &mut Script {
    script.settle().read(1, Status::Completed, 1, 0).read(2, Status::Completed, 3, 0);
    script.digest(1, "d").digest(2, "d").digest(3, "d")
}
