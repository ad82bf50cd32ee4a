//! A state with a given number of queued tasks, and entries that change it.

use bytes::Bytes;
use raftwork_kernel::{
    Accepted, Acquire, Applied, CodeHash, Command, Complete, Entry, Function, FunctionId, FunctionSpec,
    Language, LeaseRef, LogTime, Output, PythonVersion, RequestId, RetryPolicy, State, Submit, TaskId,
    TaskOptions, WallTime, WorkerId, limits,
};

use super::rows::OneFunction;

pub(crate) const FUNCTION: FunctionId = FunctionId::from_u128(1);
const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11 };

/// A state in which `len` tasks are queued, between any two operations.
pub(crate) struct Queue {
    state: State,
    rows: OneFunction,
    len: usize,
    /// Number of the newest task, and of the newest acquire.
    last: u128,
}

impl Queue {
    pub(crate) fn new(len: usize) -> Self {
        let mut queue = Self { state: State::default(), rows: one_function(), len, last: 0 };
        for first in (0..len).step_by(limits::SUBMIT_ITEMS_MAX) {
            let submit = queue.submit(limits::SUBMIT_ITEMS_MAX.min(len - first), 0);
            let _ = queue.apply(vec![submit]);
        }
        queue
    }

    /// A submit of new tasks, with so many bytes of arguments each.
    pub(crate) fn submit(&mut self, tasks: usize, args_bytes: usize) -> Command {
        let items = (0..tasks).map(|_| (self.task_id(), Bytes::from(vec![0x80; args_bytes])));
        let items = items.collect();
        Command::Submit(Submit { function: FUNCTION, options: TaskOptions::default(), items })
    }

    pub(crate) fn acquire(&mut self, max: u16) -> Command {
        self.last += 1;
        let (worker, request) = (WorkerId::from_u128(1 + self.last % 8), RequestId::from_u128(self.last));
        Command::Acquire(Acquire { worker, request, max, python: PYTHON })
    }

    pub(crate) fn complete(lease: LeaseRef) -> Command {
        let result = Bytes::from(vec![0x80; 32]);
        Command::Complete(Complete { lease, result, output: Output::default() })
    }

    /// Submits so many tasks and has workers take them.
    pub(crate) fn lease(&mut self, tasks: usize) -> Vec<LeaseRef> {
        let submit = self.submit(tasks, 32);
        let _ = self.apply(vec![submit]);
        let mut leases = Vec::new();
        while leases.len() < tasks {
            let most = u16::try_from(tasks - leases.len()).unwrap_or(u16::MAX).min(64);
            let acquire = self.acquire(most);
            for reply in self.apply(vec![acquire]).replies {
                let Ok(Accepted::Granted(grants)) = reply else { panic!("there are tasks to grant") };
                leases.extend(grants.iter().map(|grant| LeaseRef { task: grant.task, token: grant.token }));
            }
        }
        leases
    }

    /// Back to a queue of the given length: what is leased is completed, what is too much is run.
    pub(crate) fn settle(&mut self) {
        while self.state.live_len() > self.len {
            let leases: Vec<_> = self.state.leases().map(|(_, lease)| lease).collect();
            let _ = self.apply(leases.into_iter().map(Self::complete).collect());
            let surplus = self.state.live_len() - self.len;
            let acquire = self.acquire(u16::try_from(surplus).unwrap_or(u16::MAX));
            let _ = self.apply(vec![acquire]);
        }
    }

    pub(crate) fn apply(&mut self, commands: Vec<Command>) -> Applied {
        let applied = self.apply_entry(&entry(commands));
        assert!(applied.replies.iter().all(Result::is_ok), "benchmarks only ask for what is allowed");
        applied
    }

    pub(crate) fn apply_entry(&mut self, entry: &Entry) -> Applied {
        self.state.apply(entry, &self.rows)
    }

    /// A version 7 UUID of a client that makes a thousand a millisecond: rising from one millisecond to the next.
    fn task_id(&mut self) -> TaskId {
        self.last += 1;
        let random = self.last.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let tail = (random >> 48) & !(0xf << 76) & !(0x3 << 62) | (0x7 << 76) | (0x2 << 62);
        TaskId::from_u128((0x0190_a5e4_7c3b + self.last / 1000) << 80 | tail)
    }
}

pub(crate) const fn entry(commands: Vec<Command>) -> Entry {
    Entry { log_time: LogTime(1_000), wall_time: WallTime(1_795_000_000_000), commands }
}

fn one_function() -> OneFunction {
    OneFunction(Function {
        spec: FunctionSpec {
            name: "add_up".to_owned(),
            language: Language::Pickle,
            code_hash: CodeHash([7; 32]),
            python: Some(PYTHON),
            retry: RetryPolicy::default(),
            run_max: None,
            retention: limits::RETENTION_DEFAULT,
        },
        registered_wall: WallTime(1_795_000_000_000),
    })
}
