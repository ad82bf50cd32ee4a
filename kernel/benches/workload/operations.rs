//! What is measured: each operation prepares its entries, and then does its work on so many tasks.

use std::hint::black_box;

use bytes::Bytes;
use raftwork_kernel::{
    Change, Command, Entry, LogTime, Phase, RetryPolicy, Seq, Task, Token, decode, decode_shared, encode,
    limits,
};

use super::queue::{Queue, entry};

/// Work that is ready to be done, once.
pub(crate) type Job = Box<dyn FnOnce(&mut Queue)>;

/// One thing that is measured.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// How many tasks, or values, a job is about: costs are given for one of them.
    pub(crate) tasks: u64,
    pub(crate) prepare: fn(&mut Queue) -> Job,
}

pub(crate) const OPERATIONS: [Operation; 14] = [
    Operation { name: "submit_1", tasks: 64, prepare: submit_1 },
    Operation { name: "submit_100", tasks: 800, prepare: submit_100 },
    Operation { name: "submit_1_times_512", tasks: 512, prepare: submit_512 },
    Operation { name: "acquire_1", tasks: 64, prepare: acquire_1 },
    Operation { name: "acquire_64", tasks: 512, prepare: acquire_64 },
    Operation { name: "complete_1", tasks: 64, prepare: complete_1 },
    Operation { name: "complete_1_times_512", tasks: 512, prepare: complete_512 },
    Operation { name: "mixed_512", tasks: 512, prepare: mixed_512 },
    Operation { name: "encode_entry_512", tasks: 512, prepare: encode_entry_512 },
    Operation { name: "decode_entry_512", tasks: 512, prepare: decode_entry_512 },
    Operation { name: "decode_submit_100", tasks: 100, prepare: decode_submit_100 },
    Operation { name: "decode_entry_64_kib", tasks: 1, prepare: decode_64_kib },
    Operation { name: "encode_rows", tasks: 100, prepare: encode_rows },
    Operation { name: "decode_live_row", tasks: 100, prepare: decode_live_row },
];

fn apply_all(entries: Vec<Entry>) -> Job {
    Box::new(move |queue| {
        for entry in entries {
            drop(black_box(queue.apply_entry(&entry)));
        }
    })
}

fn submit_1(queue: &mut Queue) -> Job {
    apply_all((0..64).map(|_| entry(vec![queue.submit(1, 32)])).collect())
}

fn submit_100(queue: &mut Queue) -> Job {
    apply_all((0..8).map(|_| entry(vec![queue.submit(100, 32)])).collect())
}

fn submit_512(queue: &mut Queue) -> Job {
    apply_all(vec![entry((0..512).map(|_| queue.submit(1, 32)).collect())])
}

fn acquire_1(queue: &mut Queue) -> Job {
    let submit = queue.submit(64, 32);
    let _ = queue.apply(vec![submit]);
    apply_all((0..64).map(|_| entry(vec![queue.acquire(1)])).collect())
}

fn acquire_64(queue: &mut Queue) -> Job {
    let submit = queue.submit(512, 32);
    let _ = queue.apply(vec![submit]);
    apply_all((0..8).map(|_| entry(vec![queue.acquire(64)])).collect())
}

fn complete_1(queue: &mut Queue) -> Job {
    let leases = queue.lease(64);
    apply_all(leases.into_iter().map(|lease| entry(vec![Queue::complete(lease)])).collect())
}

fn complete_512(queue: &mut Queue) -> Job {
    let leases = queue.lease(512);
    apply_all(vec![entry(leases.into_iter().map(Queue::complete).collect())])
}

fn mixed_512(queue: &mut Queue) -> Job {
    let mixed = mixed_entry(queue);
    apply_all(vec![mixed])
}

/// What a coalescer makes under load: submits, completions, and the acquires of the workers that have become free.
fn mixed_entry(queue: &mut Queue) -> Entry {
    let leases = queue.lease(170);
    let submits: Vec<Command> = (0..171).map(|_| queue.submit(1, 32)).collect();
    let acquires: Vec<Command> = (0..171).map(|_| queue.acquire(1)).collect();
    let completes = leases.into_iter().map(Queue::complete);
    entry(submits.into_iter().chain(completes).chain(acquires).collect())
}

fn encode_entry_512(queue: &mut Queue) -> Job {
    let mixed = mixed_entry(queue);
    Box::new(move |_| drop(black_box(encode(&mixed))))
}

fn decode_entry_512(queue: &mut Queue) -> Job {
    decode_job(&mixed_entry(queue))
}

fn decode_submit_100(queue: &mut Queue) -> Job {
    decode_job(&entry(vec![queue.submit(100, 32)]))
}

fn decode_64_kib(queue: &mut Queue) -> Job {
    decode_job(&entry(vec![queue.submit(1, 64 << 10)]))
}

fn decode_job(entry: &Entry) -> Job {
    let bytes = Bytes::from(encode(entry));
    Box::new(move |_| drop(black_box(decode_shared::<Entry>("entry", &bytes).expect("it was just encoded"))))
}

/// The rows that a submit of 100 tasks makes the shell write.
fn encode_rows(queue: &mut Queue) -> Job {
    let submit = queue.submit(100, 32);
    let changes = queue.apply(vec![submit]).changes;
    Box::new(move |_| {
        for change in &changes {
            match change {
                Change::PutTask { row, .. } => drop(black_box(encode(row))),
                Change::PutLive { task, .. } => drop(black_box(encode(task))),
                Change::PutFunction { .. }
                | Change::PutRules { .. }
                | Change::DeleteLive { .. }
                | Change::PutRecord { .. }
                | Change::PutOutput { .. }
                | Change::PutLimit { .. }
                | Change::DeleteLimit { .. }
                | Change::PutSchedule { .. }
                | Change::DeleteSchedule { .. }
                | Change::Forget { .. }
                | Change::PutUpload { .. }
                | Change::DeleteUpload { .. }
                | Change::PutPiece { .. }
                | Change::DeletePieces { .. }
                | Change::PutMap { .. }
                | Change::PutMapStanding { .. }
                | Change::ForgetMap { .. }
                | Change::PutPayloadUpload { .. }
                | Change::DeletePayloadUpload { .. }
                | Change::PutPart { .. }
                | Change::DeleteParts { .. } => panic!("a submit writes nothing but rows of tasks"),
            }
        }
    })
}

/// What a node does for every live task when it starts.
fn decode_live_row(_: &mut Queue) -> Job {
    let task = Task {
        seq: Seq(1_000_000),
        token: Token(0),
        phase: Phase::Waiting { due: LogTime(2_000) },
        counters: raftwork_kernel::Counters::default(),
        priority: limits::PRIORITY_DEFAULT,
        python: None,
        retry: RetryPolicy::default(),
        run_max: None,
        retention: limits::RETENTION_DEFAULT,
        deadlines: None,
    };
    let bytes = encode(&task);
    Box::new(move |_| {
        for _ in 0..100 {
            drop(black_box(decode::<Task>("live task", black_box(&bytes))));
        }
    })
}
