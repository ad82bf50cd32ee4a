//! Instructions of each operation, counted by callgrind and compared with `instructions.toml`.
//!
//! ```text
//! cargo bench -p raftwork-kernel --bench instructions               # measures, compares, fails on growth
//! cargo bench -p raftwork-kernel --bench instructions -- --record   # writes the record anew
//! ```
//!
//! The counts do not depend on what else the machine does, but on compiler, profile and allocator: record anew when
//! one of them changes. Needs valgrind.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use workload::operations::{OPERATIONS, Operation};
use workload::queue::Queue;

/// Lengths of the queue under which everything is measured: an operation should cost the same under all.
const QUEUED: [usize; 2] = [0, 1_000_000];
/// Growth that fails: more than what the layout of code and memory brings about, in percent.
const GROWTH_PERCENT_MAX: u64 = 5;
/// Operation (with the number of queued tasks) and its instructions for one task.
type Counts = BTreeMap<String, u64>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(&count(), &recorded()),
        ["--record"] => record(&count()),
        ["--perform", queued] => perform(queued.parse().expect("`count` writes a number")),
        _ => {
            println!("usage: cargo bench -p raftwork-kernel --bench instructions [-- --record]");
            ExitCode::from(2)
        }
    }
}

/// What runs under callgrind: only what `measured` calls is counted, and each call is a dump of its own.
fn perform(queued: usize) -> ExitCode {
    let mut queue = Queue::new(queued);
    for operation in &OPERATIONS {
        // The second time, so that what is done once (memory asked of the system, say) does not count.
        (operation.prepare)(&mut queue)(&mut queue);
        queue.settle();
        let job = (operation.prepare)(&mut queue);
        measured(job, &mut queue);
        queue.settle();
    }
    ExitCode::SUCCESS
}

#[inline(never)]
fn measured(job: Box<dyn FnOnce(&mut Queue)>, queue: &mut Queue) {
    job(queue);
}

fn count() -> Counts {
    QUEUED.into_iter().flat_map(count_under).collect()
}

fn count_under(queued: usize) -> Counts {
    let folder = std::env::temp_dir().join(format!("raftwork-instructions-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    let status = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--quiet",
            "--toggle-collect=instructions::measured",
            "--dump-after=instructions::measured",
        ])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(std::env::current_exe().expect("a running program has a path"))
        .args(["--perform", &queued.to_string()])
        .status()
        .expect("valgrind is installed");
    assert!(status.success(), "valgrind ends with {status}");
    let counts = (1..).zip(&OPERATIONS).map(|(part, operation)| one_count(&folder, part, queued, operation));
    let counts = counts.collect();
    std::fs::remove_dir_all(&folder).expect("what was made here can be removed");
    counts
}

/// The count of the `part`-th dump.
fn one_count(folder: &Path, part: u32, queued: usize, operation: &Operation) -> (String, u64) {
    let dump = std::fs::read_to_string(folder.join(format!("out.{part}"))).expect("one dump for each call");
    let total = dump.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a dump has a total");
    let total: u64 = total.trim().parse().expect("of one kind of event");
    (format!("{}/{queued}", operation.name), total / operation.tasks)
}

fn record_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml")
}

fn recorded() -> Counts {
    let text = std::fs::read_to_string(record_path()).expect("the record is there");
    text.lines().filter_map(|line| line.split_once(" = ")).map(parse_count).collect()
}

fn parse_count((name, count): (&str, &str)) -> (String, u64) {
    (name.trim_matches('"').to_owned(), count.parse().expect("a number of instructions"))
}

fn record(counts: &Counts) -> ExitCode {
    let head = "# Instructions for one task, by operation and number of queued tasks.\n\
                # Written by `cargo bench -p raftwork-kernel --bench instructions -- --record`.\n";
    let lines = counts.iter().map(|(name, count)| format!("\"{name}\" = {count}\n"));
    let text: String = std::iter::once(head.to_owned()).chain(lines).collect();
    std::fs::write(record_path(), &text).expect("the record can be written");
    print!("{text}");
    ExitCode::SUCCESS
}

fn compare(counts: &Counts, recorded: &Counts) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for (name, count) in counts {
        let before = recorded.get(name).copied();
        let grown = before.is_none_or(|before| count * 100 > before * (100 + GROWTH_PERCENT_MAX));
        if grown {
            code = ExitCode::FAILURE;
        }
        let before = before.map_or_else(|| "no record".to_owned(), |before| before.to_string());
        println!("{name:32} {count:>9}  (recorded {before}){}", if grown { "  GROWN" } else { "" });
    }
    code
}
