//! Histories with tasks that run after others: they wait, run, or fail with them, and nothing else passes.

use raftwork_api::kernel::{MapId, Status};
use raftwork_chaos::check::Verdict;
use raftwork_chaos::history::{After, Call, Fingerprint, LogCommand, Options, Outcome, Refusal, Reply};

use crate::script::{FUNCTION, Script, acquire, args, items, result, task};

/// What asks to run after these tasks.
fn after(others: &[u128], all_the_same: bool) -> Options {
    let tasks = others.iter().copied().map(task).collect();
    Options { after: Some(Box::new(After { tasks, all_the_same })), ..Options::default() }
}

fn close(script: &mut Script) -> &Script {
    script.fault().settle().digest(1, "d").digest(2, "d").digest(3, "d")
}

#[track_caller]
fn is_right(script: &mut Script) {
    let violated = close(script).violated();
    assert_eq!(violated, [], "{:#?}", script.judge().findings);
}

#[track_caller]
fn is_wrong(script: &mut Script) {
    assert!(close(script).judge().with(Verdict::Violated).count() > 0);
}

/// The log cancels a task, and its client is told.
fn cancel(script: &mut Script, n: u128) {
    script.log(LogCommand::Cancel { task: task(n) });
    let done = Reply::Done { status: Some(Status::Cancelled) };
    script.call(Call::Cancel { task: task(n) }, Outcome::Ok(done));
}

#[test]
fn a_task_waits_for_all_that_it_runs_after_and_overtakes_nobody_then() {
    let mut script = Script::new();
    script.submit(1).submit(2).submit_with(3, &after(&[1, 2], false)).submit(4);
    script.grant(1, 1, 1).complete(1, 1).read(3, Status::Waiting, 0, 0).grant(2, 2, 1).complete(2, 2);
    // It was accepted before the fourth.
    script.read(3, Status::Queued, 0, 0).grant(3, 3, 1).complete(3, 3).grant(4, 4, 1).complete(4, 4);
    is_right(&mut script);
}

#[test]
fn a_task_that_runs_before_what_it_runs_after_is_noticed() {
    let mut script = Script::new();
    script.submit(1).submit_with(2, &after(&[1], false));
    script.grant(1, 1, 1).log(acquire(2)).told_grant(2, 2, 1).complete(1, 1).complete(2, 2);
    is_wrong(&mut script);
}

#[test]
fn a_chain_fails_with_its_first_task_and_what_is_to_run_all_the_same_runs() {
    let mut script = Script::new();
    script.submit(1).submit_with(2, &after(&[1], false)).submit_with(3, &after(&[2], false));
    script.submit_with(4, &after(&[1, 3], true));
    cancel(&mut script, 1);
    script.read(2, Status::Failed, 0, 0).read(3, Status::Failed, 0, 0).grant(4, 1, 1).complete(4, 1);
    is_right(&mut script);
}

#[test]
fn a_task_that_lives_on_though_it_was_to_fail_is_noticed() {
    for all_the_same in [false, true] {
        let mut script = Script::new();
        script.submit(1).submit_with(2, &after(&[1], all_the_same));
        cancel(&mut script, 1);
        script.read(2, Status::Queued, 0, 0).grant(2, 1, 1).complete(2, 1);
        assert_eq!(close(&mut script).violated().is_empty(), all_the_same);
    }
}

#[test]
fn a_delay_counts_from_the_submit_and_a_cancelled_task_waits_no_more() {
    let mut script = Script::new();
    let delayed = Options { delay_ms: Some(20), ..after(&[1], false) };
    script.submit(1).submit_with(2, &delayed).submit_with(3, &after(&[1], false));
    cancel(&mut script, 3);
    script.grant(1, 1, 1).complete(1, 1).read(2, Status::Waiting, 0, 0).read(3, Status::Cancelled, 0, 0);
    script.idle(20).grant(2, 2, 1).complete(2, 2);
    is_right(&mut script);
}

#[test]
fn what_waits_too_long_has_failed() {
    let mut script = Script::new();
    let hurried = Options { total_ms: Some(20), ..after(&[1], false) };
    script.submit(1).submit_with(2, &hurried).grant(1, 1, 1).idle(30).read(2, Status::Failed, 0, 0);
    script.complete(1, 1).read(2, Status::Failed, 0, 0);
    is_right(&mut script);
}

#[test]
fn what_is_not_there_cannot_be_waited_for() {
    for right in [true, false] {
        let mut script = Script::new();
        let (options, items) = (after(&[9], false), items(1));
        script.log(LogCommand::Submit { function: FUNCTION, options: options.clone(), items: items.clone() });
        let call = Call::Submit { function: FUNCTION, key: None, options, items, results: vec![result(1)] };
        let done = Outcome::Ok(Reply::Submitted { tasks: vec![task(1)], created: None });
        let refused = Outcome::Refused { code: Refusal::UnknownTask, current: None };
        script.call(call, if right { refused } else { done });
        assert_eq!(close(&mut script).violated().is_empty(), right);
    }
}

const MAP: MapId = MapId::from_u128(7 << 32);

/// The number under which scripts know an item's task.
const fn item(index: u128) -> u128 {
    (7 << 32) + index + 1
}

/// A map of two items that begins in 20 ms, a task that runs after its last item, and one that does so all the same.
fn after_an_item() -> Script {
    let mut script = Script::new();
    let all = [0, 1].map(|index| args(item(index))).to_vec();
    script.log(LogCommand::Store { map: MAP, index: 0, items: all });
    let options = Options { delay_ms: Some(20), ..Options::default() };
    let (pieces, digest) = (1, Fingerprint(9));
    script.log(LogCommand::Map { map: MAP, function: FUNCTION, options, pieces, digest });
    script.submit_with(1, &after(&[item(1)], false)).submit_with(2, &after(&[item(1)], true));
    script.read(1, Status::Waiting, 0, 0).read(2, Status::Waiting, 0, 0);
    script
}

#[test]
fn an_item_of_a_map_that_has_had_no_turn_is_waited_for() {
    let mut script = after_an_item();
    script.idle(20).log(acquire(1)).log(acquire(2)).log(LogCommand::Complete {
        task: task(item(1)),
        token: raftwork_api::kernel::Token(2),
        result: result(item(1)),
    });
    script.grant(1, 3, 1).complete(1, 3).grant(2, 4, 1).complete(2, 4);
    let violated = close(&mut script).violated();
    // The first item is still with its worker.
    assert_eq!(violated, [raftwork_chaos::check::Invariant::Liveness], "{:#?}", script.judge().findings);
}

#[test]
fn a_map_that_is_cancelled_before_its_turn_breaks_what_runs_after_its_items() {
    let mut script = after_an_item();
    script.log(LogCommand::CancelMap { map: MAP });
    script.read(1, Status::Failed, 0, 0).grant(2, 1, 1).complete(2, 1);
    is_right(&mut script);
}
