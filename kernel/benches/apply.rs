//! Time of each operation, by criterion: `cargo bench -p raftwork-kernel --bench apply [-- FILTER]`.
//!
//! Depends on the machine and on what else it does; `instructions` does not, and is the record to compare with.

mod workload;

use std::cell::RefCell;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use workload::operations::OPERATIONS;
use workload::queue::Queue;

fn queue_of(criterion: &mut Criterion, queued: usize) {
    let queue = RefCell::new(Queue::new(queued));
    let mut group = criterion.benchmark_group(format!("{queued} queued"));
    for operation in &OPERATIONS {
        group.throughput(Throughput::Elements(operation.tasks));
        group.bench_function(operation.name, |bencher| {
            let prepare = || {
                queue.borrow_mut().settle();
                (operation.prepare)(&mut queue.borrow_mut())
            };
            bencher.iter_batched(prepare, |job| job(&mut queue.borrow_mut()), BatchSize::PerIteration);
        });
    }
}

fn all(criterion: &mut Criterion) {
    for queued in [0, 1_000_000] {
        queue_of(criterion, queued);
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
