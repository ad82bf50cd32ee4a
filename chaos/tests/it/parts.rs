//! Histories with payloads in parts: what is missing is missed, and stale attempts send in vain.

use raftwork_api::kernel::{Status, Token};
use raftwork_chaos::check::Verdict;
use raftwork_chaos::history::{Fingerprint, LogCommand, LogItem, Options, Whole};

use crate::script::{FUNCTION, Script, acquire, args, task};

const WHOLE: Whole = Whole { count: 2, bytes: 20, digest: Fingerprint(9) };

fn part(token: u64, index: u32) -> LogCommand {
    let part = Fingerprint(u64::from(index) + 100);
    LogCommand::StorePart { task: task(1), token: Token(token), index, part, bytes: 10 }
}

fn submit() -> LogCommand {
    let options = Options { in_parts: Some(WHOLE), ..Options::default() };
    let items = vec![LogItem { task: task(1), args: args(1) }];
    LogCommand::Submit { function: FUNCTION, options, items }
}

fn complete(token: u64) -> LogCommand {
    LogCommand::CompleteInParts { task: task(1), token: Token(token), whole: WHOLE }
}

fn close(script: &mut Script) -> &Script {
    script.fault().settle().digest(1, "d").digest(2, "d").digest(3, "d")
}

#[test]
fn a_task_whose_parts_are_all_there_runs_and_ends_with_its_parts() {
    let mut script = Script::new();
    for index in [1, 0, 1] {
        script.log(part(0, index));
    }
    script.log(submit()).log(submit()).read(1, Status::Queued, 0, 0);
    script.grant(1, 1, 1).log(part(1, 0)).log(part(1, 1)).log(complete(1)).log(complete(1));
    script.read(1, Status::Completed, 1, 0);
    let findings = close(&mut script).judge().findings;
    let violated: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Violated).collect();
    assert!(violated.is_empty(), "{findings:#?}");
}

#[test]
fn a_task_that_was_accepted_without_all_of_its_parts_is_noticed() {
    let mut script = Script::new();
    script.log(part(0, 0)).log(submit()).read(1, Status::Queued, 0, 0);
    assert!(close(&mut script).judge().with(Verdict::Violated).count() > 0);
}

#[test]
fn a_result_that_is_made_of_a_stale_attempts_parts_is_noticed() {
    let mut script = Script::new();
    script.log(part(0, 0)).log(part(0, 1)).log(submit()).grant(1, 1, 1).log(part(1, 0));
    script.log(LogCommand::Release { task: task(1), token: Token(1) });
    script.log(acquire(2)).told_grant(1, 2, 1).log(part(2, 0)).log(part(1, 1)).log(complete(2));
    script.read(1, Status::Completed, 2, 0);
    assert!(close(&mut script).judge().with(Verdict::Violated).count() > 0);
}
