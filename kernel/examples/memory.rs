//! Prints what live tasks cost in memory: `cargo run --release -p raftwork-kernel --example memory [-- TASKS]`.
//!
//! In each phase: the bytes that the state asked its allocator for, and the growth of resident memory (Linux only), which
//! counts the allocator's own losses and whatever applying left behind in it. Resident memory says something in the first
//! block only: what follows lives in what the first one left behind.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use raftwork_kernel::{
    Acquire, CodeHash, Command, Complete, Entry, Function, FunctionId, FunctionSpec, Language, LogTime,
    Millis, Output, PythonVersion, RequestId, RetryPolicy, State, Submit, Tags, TaskId, TaskOptions,
    WallTime, WorkerId, limits,
};

#[path = "../benches/workload/rows.rs"]
mod rows;

use rows::OneFunction;

const PYTHON: PythonVersion = PythonVersion { major: 3, minor: 11 };

/// The system's allocator, and the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written otherwise; every call goes on to the system's"
)]
// SAFETY: the layout and the pointer are handed on as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: see above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let tasks = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().expect("a number of tasks"));
    // Version 7 UUIDs rise; version 4 UUIDs do not.
    let rising = |n| TaskId::from_u128(0x0190_a5e4_7c3b_7000 << 64 | n);
    let random = |n: u128| TaskId::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
    measure("rising ids", tasks, Millis(0), rising);
    measure("random ids", tasks, Millis(0), random);
    measure("delayed", tasks, Millis(1_000), random);
}

fn measure(what: &str, tasks: u128, delay: Millis, id: impl Fn(u128) -> TaskId) {
    let before = InUse::now();
    let mut state = State::default();
    for first in (0..tasks).step_by(limits::SUBMIT_ITEMS_MAX) {
        let last = tasks.min(first + limits::SUBMIT_ITEMS_MAX as u128);
        apply(&mut state, vec![Command::Submit(submit((first..last).map(&id), delay))]);
    }
    let accepted = state.ready_len_for(PYTHON, Tags::NONE);
    if accepted == 0 {
        before.report(what, "waiting", tasks);
        return;
    }
    before.report(what, "ready", tasks);
    while state.leased_len() < state.live_len() {
        let request = RequestId::from_u128(state.leased_len() as u128);
        let worker = WorkerId::from_u128(1 + state.leased_len() as u128 / 10_000);
        let acquire = Acquire { worker, request, max: limits::ACQUIRE_MAX, python: PYTHON };
        apply(&mut state, vec![Command::Acquire(acquire)]);
    }
    before.report(what, "leased", tasks);
    while state.leased_len() > 0 {
        let leases: Vec<_> = state.leases().map(|(_, lease)| lease).take(10_000).collect();
        let complete = |lease| Complete { lease, result: Bytes::new(), output: Output::default() };
        apply(&mut state, leases.into_iter().map(complete).map(Command::Complete).collect());
    }
    before.report(what, "after the leases ended", tasks);
}

fn apply(state: &mut State, commands: Vec<Command>) {
    let entry = Entry { log_time: LogTime(0), wall_time: WallTime(0), commands };
    let applied = state.apply(&entry, &one_function());
    assert!(applied.replies.iter().all(Result::is_ok), "the example only asks for what is allowed");
}

fn submit(tasks: impl Iterator<Item = TaskId>, delay: Millis) -> Submit {
    Submit {
        function: FunctionId::from_u128(1),
        options: TaskOptions { delay, ..TaskOptions::default() },
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

/// Memory in use, in bytes.
struct InUse {
    allocated: u128,
    resident: u128,
}

impl InUse {
    fn now() -> Self {
        Self { allocated: IN_USE.load(Ordering::Relaxed) as u128, resident: resident_bytes() }
    }

    fn report(&self, what: &str, phase: &str, tasks: u128) {
        let now = Self::now();
        let allocated = now.allocated.saturating_sub(self.allocated) / tasks;
        let resident = now.resident.saturating_sub(self.resident) / tasks;
        println!("{what}, {phase}: {allocated} bytes allocated for each task, {resident} resident");
    }
}

fn resident_bytes() -> u128 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says how much memory is in use");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("and that in this line");
    let kib = line.trim().trim_end_matches(" kB").parse::<u128>().expect("in kibibytes");
    kib * 1024
}
