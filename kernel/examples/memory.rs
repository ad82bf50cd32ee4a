//! Prints what a million live tasks cost in memory: `cargo run --release -p raftwork-kernel --example memory`.
//!
//! Measured as resident memory (Linux only), so that the allocator's own losses count, too.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use bytes::Bytes;
use raftwork_kernel::{
    Acquire, CodeHash, Command, Entry, Function, FunctionId, FunctionSpec, Language, LogTime, PythonVersion,
    Record, RequestId, RetryPolicy, Rows, State, Submit, Task, TaskId, TaskOptions, TaskRow, WallTime,
    WorkerId, limits,
};

const TASKS: u128 = 1_000_000;
const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11 };

/// One function, and no task row yet: nothing but the state is kept.
struct OneFunction(Function);

impl Rows for OneFunction {
    fn function(&self, _: &FunctionId) -> Option<Function> {
        Some(self.0.clone())
    }

    fn task(&self, _: &TaskId) -> Option<TaskRow> {
        None
    }

    fn record(&self, _: &TaskId) -> Option<Record> {
        None
    }
}

fn main() {
    println!("size of a task, without its id and its indexes: {} bytes", size_of::<Task>());
    // Version 7 UUIDs rise; version 4 UUIDs do not.
    // The first state is kept, so that the second one cannot live in its remains.
    let _kept = measure("rising ids", |n| TaskId::from_u128(0x0190_a5e4_7c3b_7000 << 64 | n));
    measure("random ids", |n| TaskId::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)));
}

fn measure(what: &str, id: impl Fn(u128) -> TaskId) -> State {
    let before = resident_bytes();
    let mut state = State::default();
    for first in (0..TASKS).step_by(limits::SUBMIT_ITEMS_MAX) {
        let last = first + limits::SUBMIT_ITEMS_MAX as u128;
        apply(&mut state, Command::Submit(submit((first..last).map(&id))));
    }
    report(what, "ready", before);
    while state.leased_len() < state.live_len() {
        let request = RequestId::from_u128(state.leased_len() as u128);
        let worker = WorkerId::from_u128(1 + state.leased_len() as u128 / 10_000);
        apply(
            &mut state,
            Command::Acquire(Acquire { worker, request, max: limits::ACQUIRE_MAX, python: PYTHON }),
        );
    }
    report(what, "leased", before);
    state
}

fn apply(state: &mut State, command: Command) {
    let entry = Entry { log_time: LogTime(0), wall_time: WallTime(0), commands: vec![command] };
    let applied = state.apply(&entry, &one_function());
    assert!(applied.replies.iter().all(Result::is_ok), "the example only asks for what is allowed");
}

fn submit(tasks: impl Iterator<Item = TaskId>) -> Submit {
    Submit {
        function: FunctionId::from_u128(1),
        options: TaskOptions::default(),
        items: tasks.map(|task| (task, Bytes::new())).collect(),
    }
}

fn one_function() -> OneFunction {
    OneFunction(Function {
        spec: FunctionSpec {
            name: "f".to_owned(),
            language: Language::Pickle,
            code_hash: CodeHash([0; 32]),
            python: Some(PYTHON),
            retry: RetryPolicy::default(),
            run_max: None,
            retention: limits::RETENTION_DEFAULT,
        },
        registered_wall: WallTime(0),
    })
}

fn report(what: &str, phase: &str, before: u64) {
    let each = u128::from(resident_bytes().saturating_sub(before)) / TASKS;
    println!("{what}, {phase}: {each} bytes each");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says how much memory is in use");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("and that in this line");
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("in kibibytes");
    kib * 1024
}
