//! Histories with payloads in parts: what is missing is missed, and stale attempts send in vain.

use raftwork_api::kernel::{Status, Token};
use raftwork_chaos::check::{Invariant, Verdict};
use raftwork_chaos::history::{Fingerprint, LogCommand, Options, Whole};

use crate::script::{FUNCTION, Script, acquire, items, result, task};

fn whole() -> Whole {
    Whole { count: 2, bytes: 20, digest: result(1) }
}

fn options() -> Options {
    Options { in_parts: Some(Box::new(whole())), ..Options::default() }
}

fn part(token: u64, index: u32) -> LogCommand {
    let part = Fingerprint(u64::from(index) + 100);
    LogCommand::StorePart { task: task(1), token: Token(token), index, part, bytes: 10 }
}

fn complete(token: u64) -> LogCommand {
    LogCommand::CompleteInParts { task: task(1), token: Token(token), whole: whole() }
}

/// The parts of the arguments, the last one first and twice, and the task.
fn submitted() -> Script {
    let mut script = Script::new();
    for index in [1, 0, 1] {
        script.log(part(0, index));
    }
    script.submit_with(1, &options());
    script
}

fn close(script: &mut Script) -> &Script {
    script.fault().settle().digest(1, "d").digest(2, "d").digest(3, "d")
}

#[test]
fn a_task_whose_parts_are_all_there_runs_and_ends_with_its_parts() {
    let mut script = submitted();
    script.log(LogCommand::Submit { function: FUNCTION, options: options(), items: items(1) });
    script.read(1, Status::Queued, 0, 0).grant(1, 1, 1).log(part(1, 0)).log(part(1, 1));
    script.log(complete(1)).log(complete(1)).told_complete(1, 1).read_result(1, result(1));
    script.effect(1, 1, true);
    let violated = close(&mut script).violated();
    assert_eq!(violated, [], "{:#?}", script.judge().findings);
}

/// A task whose arguments came under two leaders, and its result under one.
#[test]
fn payloads_are_counted_and_those_whose_leader_changed_meanwhile() {
    let mut script = Script::new();
    script.log(part(0, 0));
    let older = script.entries().len();
    script.log(part(0, 1)).submit_with(1, &options());
    script.grant(1, 1, 1).log(part(1, 0)).log(part(1, 1)).log(complete(1)).told_complete(1, 1);
    for entry in &mut script.entries()[older..] {
        entry.term = 2;
    }
    let judgement = close(&mut script).judge();
    let says = &judgement.findings.iter().find(|found| found.invariant == Invariant::Coverage).unwrap().says;
    let counted = "1 arguments in parts, 1 results in parts, 1 payloads with parts under two leaders";
    assert!(says.contains(counted), "{says}");
}

#[test]
fn a_task_that_was_accepted_without_all_of_its_parts_is_noticed() {
    let mut script = Script::new();
    script.log(part(0, 0)).submit_with(1, &options()).read(1, Status::Queued, 0, 0);
    assert!(close(&mut script).judge().with(Verdict::Violated).count() > 0);
}

/// The second attempt has all of its parts, or one of them from the first.
fn after_a_lost_attempt(second: u64) -> Script {
    let mut script = submitted();
    script.grant(1, 1, 1).log(part(1, 0));
    script.log(LogCommand::Expire { leases: vec![(task(1), Token(1), false)] });
    script.log(acquire(2)).told_grant(1, 2, 1).log(part(2, 0)).log(part(second, 1)).log(complete(2));
    script.told_complete(1, 2).read_result(1, result(1)).effect(1, 2, true);
    script
}

#[test]
fn a_result_that_is_made_of_a_stale_attempts_parts_is_noticed() {
    let violated = close(&mut after_a_lost_attempt(2)).violated();
    assert_eq!(violated, []);
    assert!(close(&mut after_a_lost_attempt(1)).judge().with(Verdict::Violated).count() > 0);
}
