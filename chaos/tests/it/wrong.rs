//! One wrong history for each invariant: the right name must come out. And a right one: silence.

use raftwork_api::kernel::{Status, Token};
use raftwork_chaos::check::{Invariant, Verdict};
use raftwork_chaos::history::{
    After, Call, Concurrency, Event, Fingerprint, LogCommand, Options, Outcome, Phase, Refusal, Reply, Wanted,
};

use crate::script::{CALENDAR, FUNCTION, Script, acquire, args, clean, end, items, result, task};

/// A history of a task that ends well, with room for something wrong before the end.
fn ended() -> Script {
    let mut script = clean();
    end(&mut script);
    script
}

#[track_caller]
fn expect(script: &Script, invariant: Invariant) {
    let violated = script.violated();
    assert!(violated.contains(&invariant), "{invariant} is broken; found: {violated:?}");
    let judgement = script.judge();
    let finding = judgement.findings.iter().find(|finding| finding.invariant == invariant).unwrap();
    assert!(!finding.stories[0].steps.is_empty(), "a violation tells what led to it: {finding:?}");
    assert_eq!(judgement.verdict().exit_code(), 1);
}

#[test]
fn a_right_history_passes_everything() {
    let judgement = ended().judge();
    let passed = judgement.with(Verdict::Pass).count();
    // Workers that live are paused and cut off, too, so that runs again prove nothing.
    assert_eq!(judgement.with(Verdict::Untried).collect::<Vec<_>>(), [Invariant::Reruns]);
    assert_eq!(passed + 1, Invariant::ALL.len(), "{:#?}", judgement.findings);
    assert_eq!(judgement.verdict().exit_code(), 0);
}

#[test]
fn i1_an_acknowledged_submit_that_the_log_lacks() {
    let mut script = ended();
    script.submit_as(9, args(9), None);
    expect(&script, Invariant::Durable);
}

#[test]
fn i1_an_acknowledged_submit_that_a_node_does_not_know() {
    let mut script = clean();
    script.read_nothing(1);
    expect(end(&mut script), Invariant::Durable);
}

#[test]
fn i2_a_task_with_two_outcomes() {
    let mut script = ended();
    script.read_result(1, result(99));
    expect(&script, Invariant::OneEnding);
}

#[test]
fn i2_a_task_that_lives_again() {
    let mut script = ended();
    script.read(1, Status::Running, 1, 0);
    expect(&script, Invariant::OneEnding);
}

#[test]
fn i3_a_token_that_is_given_twice() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 1).submit(4).told_grant(4, 4, 1);
    expect(end(&mut script), Invariant::Tokens);
}

#[test]
fn i3_a_token_that_falls() {
    let mut script = clean();
    script.submit(3).told_grant(3, 9, 1).submit(4).told_grant(4, 8, 1);
    expect(end(&mut script), Invariant::Tokens);
}

#[test]
fn i4_a_report_under_an_old_token_that_is_accepted() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 1);
    script.log(LogCommand::Release { task: task(3), token: Token(4) }).grant(3, 5, 1);
    script.log(LogCommand::Complete { task: task(3), token: Token(4), result: result(3) });
    script.told_complete(3, 4);
    expect(end(&mut script), Invariant::Fencing);
}

#[test]
fn i4_by_the_log_alone_a_report_under_an_old_token_that_is_accepted() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 1);
    // The second grant went to a worker that nobody records.
    script.log(LogCommand::Release { task: task(3), token: Token(4) }).log(acquire(77));
    script.log(LogCommand::Complete { task: task(3), token: Token(4), result: result(3) });
    script.told_complete(3, 4);
    expect(end(&mut script), Invariant::Fencing);
}

#[test]
fn i5_a_number_of_attempts_that_falls() {
    let mut script = clean();
    script.submit(3).read(3, Status::Queued, 0, 2).read(3, Status::Queued, 0, 1);
    expect(end(&mut script), Invariant::Forward);
}

#[test]
fn i17_more_leases_under_a_key_than_its_limit() {
    let mut script = clean();
    let options =
        Options { concurrency: Some(Concurrency { key: Fingerprint(15), max: 1 }), ..Options::default() };
    script.submit_with(3, &options).submit_with(4, &options);
    // The log grants the first, and its worker goes on; a server that lost count grants the second.
    script.grant(3, 4, 1);
    let (task, token, run_ms) = (task(3), Token(4), 60_000);
    script.log(LogCommand::Extend { task, token, run_ms });
    script.call(Call::Extend { task, token, run_ms }, Outcome::Ok(Reply::Done { status: None }));
    script.told_grant(4, 5, 1);
    expect(end(&mut script), Invariant::Limits);
}

#[test]
fn i17_a_lease_that_expires_and_is_granted_again_by_one_entry_has_ended() {
    let mut script = clean();
    let options =
        Options { concurrency: Some(Concurrency { key: Fingerprint(15), max: 1 }), ..Options::default() };
    script.submit_with(3, &options).submit_with(4, &options).grant(3, 4, 1);
    script.log(LogCommand::Expire { leases: vec![(task(3), Token(4), false)] });
    script.entries().last_mut().unwrap().commands.push(acquire(77));
    script.told_grant(3, 5, 1).complete(3, 5).grant(4, 6, 1).complete(4, 6);
    assert_eq!(end(&mut script).violated(), []);
}

#[test]
fn i17_without_a_log_nobody_knows_whose_lease_ended_by_time() {
    let mut script = clean();
    let options =
        Options { concurrency: Some(Concurrency { key: Fingerprint(15), max: 1 }), ..Options::default() };
    // The worker of the third was silent, and the fourth got its place.
    script.submit_with(3, &options).submit_with(4, &options).told_grant(3, 4, 1);
    script.told_grant(4, 5, 1).told_complete(4, 5).told_grant(3, 6, 1).told_complete(3, 6);
    end(&mut script).entries().clear();
    script.run.without_log = true;
    assert!(script.judge().with(Verdict::Untried).any(|one| one == Invariant::Limits));
    assert_eq!(script.violated(), []);
}

/// Task 4 runs after task 3.
fn dependent() -> Script {
    let mut script = clean();
    let after = After { tasks: [task(3)].into(), all_the_same: false };
    script.submit(3).submit_with(4, &Options { after: Some(Box::new(after)), ..Options::default() });
    script
}

#[test]
fn i18_a_task_that_starts_while_one_that_it_runs_after_waits() {
    let mut script = dependent();
    script.told_grant(4, 4, 1).read(3, Status::Queued, 0, 0);
    expect(end(&mut script), Invariant::After);
}

#[test]
fn i18_a_task_that_starts_before_anybody_asked_for_the_end_of_one_that_it_runs_after() {
    let mut script = dependent();
    script.grant(3, 4, 1).effect(4, 5, true).complete(3, 4);
    expect(end(&mut script), Invariant::After);
}

#[test]
fn i18_a_task_that_starts_though_it_was_to_fail() {
    let mut script = dependent();
    script.log(LogCommand::Cancel { task: task(3) });
    script.call(Call::Cancel { task: task(3) }, Outcome::Ok(Reply::Done { status: Some(Status::Cancelled) }));
    script.told_grant(4, 4, 1);
    expect(end(&mut script), Invariant::After);
}

#[test]
fn i18_a_task_that_starts_once_the_other_has_completed_is_right() {
    let mut script = dependent();
    script.grant(3, 4, 1).complete(3, 4).grant(4, 5, 1).complete(4, 5).read_result(3, result(3));
    let judgement = end(&mut script).judge();
    let finding = judgement.findings.iter().find(|finding| finding.invariant == Invariant::After).unwrap();
    assert_eq!(finding.says, "1 tasks run after others, 1 of them were seen to start");
    assert_eq!(script.violated(), []);
}

#[test]
fn i6_a_key_that_names_two_tasks() {
    let mut script = clean();
    for n in [3, 4] {
        script.log(LogCommand::Submit { function: FUNCTION, options: Options::default(), items: items(n) });
        script.submit_as(n, args(n), Some("order-17"));
    }
    expect(end(&mut script), Invariant::Keys);
}

#[test]
fn i6_a_task_that_is_accepted_with_two_requests() {
    let mut script = clean();
    script.submit(3).submit_as(3, args(99), Some("order-17"));
    expect(end(&mut script), Invariant::Keys);
}

#[test]
fn i7_a_task_that_nobody_submitted() {
    let mut script = ended();
    script.read(9, Status::Queued, 0, 0);
    expect(&script, Invariant::Conservation);
}

#[test]
fn i7_a_task_that_the_log_accepted_and_nobody_wanted() {
    let mut script = clean();
    script.log(LogCommand::Submit { function: FUNCTION, options: Options::default(), items: items(9) });
    script.log(LogCommand::Cancel { task: task(9) });
    expect(end(&mut script), Invariant::Conservation);
}

#[test]
fn i7_a_task_that_does_not_stand_where_the_log_left_it() {
    let mut script = ended();
    script.read(1, Status::Cancelled, 1, 0);
    expect(&script, Invariant::Conservation);
}

#[test]
fn i8_nodes_with_different_states() {
    let mut script = ended();
    script.digest(3, "other");
    expect(&script, Invariant::Replicas);
}

#[test]
fn i8_nodes_with_different_logs() {
    let mut script = ended();
    let entries = script.entries();
    let mut other = entries[1].clone();
    (other.nodes, other.term) = (vec![3], 2);
    entries.insert(2, other);
    expect(&script, Invariant::Replicas);
}

#[test]
fn i9_an_attempt_that_is_counted_twice() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 2);
    expect(end(&mut script), Invariant::Attempts);
}

#[test]
fn i10_log_time_that_goes_back() {
    for term in [1, 2] {
        let mut script = ended();
        let before = script.entries()[3].log_ms.map(|log_ms| log_ms - 1);
        let entry = &mut script.entries()[4];
        (entry.term, entry.log_ms) = (term, before);
        expect(&script, Invariant::Time);
    }
}

#[test]
fn i10_a_task_that_starts_before_its_time() {
    let mut script = clean();
    let options = Options { delay_ms: Some(60_000), ..Options::default() };
    script.log(LogCommand::Submit { function: FUNCTION, options: options.clone(), items: items(3) });
    script.call(
        Call::Submit { function: FUNCTION, key: None, options, items: items(3), results: vec![] },
        Outcome::Ok(Reply::Submitted { tasks: vec![task(3)], created: None }),
    );
    script.told_grant(3, 4, 1);
    expect(end(&mut script), Invariant::Time);
}

#[test]
fn i11_a_task_that_never_ends() {
    let mut script = clean();
    script.submit(3);
    expect(end(&mut script), Invariant::Liveness);
}

#[test]
fn i11_a_run_that_is_stuck() {
    let mut script = ended();
    script.event(Event::Phase(Phase::Stuck));
    expect(&script, Invariant::Liveness);
}

#[test]
fn i12_an_old_effect_that_the_register_took() {
    let mut script = clean();
    script.effect(2, 3, true).effect(2, 2, true);
    expect(end(&mut script), Invariant::Effects);
}

#[test]
fn i12_an_effect_of_another_attempt_than_the_one_that_completed() {
    let mut script = clean();
    script.effect(2, 2, true);
    expect(end(&mut script), Invariant::Effects);
}

#[test]
fn i13_a_task_that_overtakes() {
    let mut script = clean();
    script.submit(3).submit(4).grant(4, 4, 1);
    expect(end(&mut script), Invariant::Order);
}

#[test]
fn i14_a_fault_that_never_happened_is_no_pass() {
    let mut script = ended();
    script.run.faults.push("power-failure".to_owned());
    let judgement = script.judge();
    assert_eq!(judgement.verdict(), Verdict::Unknown);
    assert_eq!(judgement.with(Verdict::Unknown).collect::<Vec<_>>(), [Invariant::Coverage]);
    assert_eq!(judgement.verdict().exit_code(), 2);
}

#[test]
fn i14_a_fault_that_cannot_happen_here_is_named_and_not_asked_for() {
    let mut script = ended();
    script.run.faults.push("power-failure".to_owned());
    script.run.skipped.insert("power-failure".to_owned(), "needs root".to_owned());
    let judgement = script.judge();
    assert_eq!(judgement.verdict(), Verdict::Pass);
    let coverage = judgement.findings.iter().find(|f| f.invariant == Invariant::Coverage).unwrap();
    assert!(coverage.says.contains("skipped: power-failure (needs root)"), "{}", coverage.says);
}

#[test]
fn i14_too_little_that_was_asked_is_no_pass() {
    for wanted in [
        Wanted { operations: 1000, ..Wanted::default() },
        Wanted { leader_changes: 2, ..Wanted::default() },
        Wanted { expiries: 1, ..Wanted::default() },
        Wanted { stale_refusals: 2, ..Wanted::default() },
        Wanted { effects: 1000, ..Wanted::default() },
        Wanted { released: 1, ..Wanted::default() },
        Wanted { broken: 1, ..Wanted::default() },
        Wanted { arguments_in_parts: 1, ..Wanted::default() },
        Wanted { results_in_parts: 1, ..Wanted::default() },
        Wanted { parts_across_leaders: 1, ..Wanted::default() },
    ] {
        let mut script = ended();
        script.run.wanted = wanted;
        assert_eq!(
            script.judge().with(Verdict::Unknown).collect::<Vec<_>>(),
            [Invariant::Coverage],
            "{wanted:?}"
        );
    }
}

#[test]
fn w_a_read_that_shows_the_past() {
    let mut script = clean();
    // Granted and answered, but a later read still sees the task in the queue.
    script.submit(3).grant(3, 4, 1).read(3, Status::Queued, 0, 0).complete(3, 4);
    expect(end(&mut script), Invariant::Witness);
}

#[test]
fn w_a_stale_read_that_shows_the_future() {
    let mut script = clean();
    let op = script.invoke(Call::Status { task: task(1), stale: true });
    let seen =
        Reply::Seen { status: Status::Completed, token: Some(Token(1)), attempts: Some(0), result: None };
    script.answer(op, Some(3), Outcome::Ok(seen));
    expect(end(&mut script), Invariant::Witness);
}

#[test]
fn w_a_refusal_that_the_log_does_not_imply() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 1);
    script.log(LogCommand::Complete { task: task(3), token: Token(4), result: result(3) });
    script.call(
        Call::Complete { task: task(3), token: Token(4), result: result(3) },
        Outcome::Refused { code: Refusal::StaleLease, current: None },
    );
    expect(end(&mut script), Invariant::Witness);
}

#[test]
fn w_a_report_on_a_task_that_is_said_not_to_exist_and_never_reached_the_log() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 1);
    script.call(
        Call::Complete { task: task(3), token: Token(4), result: result(3) },
        Outcome::Refused { code: Refusal::UnknownTask, current: None },
    );
    expect(end(&mut script), Invariant::Witness);
}

#[test]
fn w_an_order_that_contradicts_real_time() {
    let mut script = clean();
    // In the log the second submit comes first, though it was invoked after the first one had returned.
    for n in [4, 3] {
        script.log(LogCommand::Submit { function: FUNCTION, options: Options::default(), items: items(n) });
    }
    script.submit_as(3, args(3), None).submit_as(4, args(4), None);
    expect(end(&mut script), Invariant::Witness);
}

#[test]
fn l_a_task_that_is_unknown_after_its_submit() {
    let mut script = clean();
    script.submit(3).read_nothing(3);
    expect(end(&mut script), Invariant::Linearizable);
}

#[test]
fn l_a_grant_after_an_accepted_cancel() {
    let mut script = clean();
    script.submit(3).log(LogCommand::Cancel { task: task(3) });
    script.call(Call::Cancel { task: task(3) }, Outcome::Ok(Reply::Done { status: Some(Status::Cancelled) }));
    script.told_grant(3, 4, 1);
    expect(end(&mut script), Invariant::Linearizable);
}

#[test]
fn l_a_conflict_under_a_key_that_nobody_had_used() {
    let mut script = clean();
    let items = items(3);
    let (key, options) = (Some("k".to_owned()), Options::default());
    let call = Call::Submit { function: FUNCTION, key, options, items, results: vec![] };
    script.call(call, Outcome::Refused { code: Refusal::TaskConflict, current: None });
    expect(end(&mut script), Invariant::Linearizable);
}

#[test]
fn a_submit_without_an_answer_may_have_happened_or_not() {
    for happened in [true, false] {
        let mut script = clean();
        let options = Options::default();
        let call = Call::Submit { function: FUNCTION, key: None, options, items: items(3), results: vec![] };
        script.call(call, Outcome::Info { why: "timeout".to_owned() });
        if happened {
            script.log(LogCommand::Submit {
                function: FUNCTION,
                options: Options::default(),
                items: items(3),
            });
            script.read(3, Status::Queued, 0, 0).grant(3, 4, 1).complete(3, 4);
        } else {
            script.read_nothing(3);
        }
        assert_eq!(end(&mut script).violated(), [], "happened: {happened}");
    }
}

#[test]
fn without_a_log_what_needs_one_is_unknown() {
    let mut script = ended();
    script.entries().clear();
    let judgement = script.judge();
    let without = [Invariant::Conservation, Invariant::Attempts, Invariant::Order, Invariant::Witness];
    assert_eq!(judgement.with(Verdict::Unknown).collect::<Vec<_>>(), without);
}

/// The cluster is somebody else's, and everything that its clients can see is in order.
#[test]
fn without_a_log_that_nobody_promised_the_rest_is_a_pass() {
    let mut script = ended();
    script.entries().clear();
    script.run.without_log = true;
    let judgement = script.judge();
    let without = [
        Invariant::Conservation,
        Invariant::Attempts,
        Invariant::Order,
        Invariant::Reruns,
        Invariant::Limits,
    ];
    let untried: Vec<_> = judgement.with(Verdict::Untried).collect();
    assert!(without.iter().all(|one| untried.contains(one)) && untried.len() == 6, "{untried:?}");
    assert_eq!(judgement.verdict(), Verdict::Pass);
}

#[test]
fn i15_a_result_of_other_arguments() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 1);
    script.log(LogCommand::Complete { task: task(3), token: Token(4), result: result(9) });
    script.read_result(3, result(9));
    expect(end(&mut script), Invariant::Results);
}

/// Task 3 runs twice; the first time in process 70, whose worker is process 60.
fn run_again() -> Script {
    let mut script = clean();
    script.run.faults = vec!["dev-kill-workers".to_owned()];
    script.effect_of(3, 4, true, vec![70, 60]);
    script
}

#[test]
fn i16_a_task_that_is_run_again_though_its_worker_lived() {
    let mut script = run_again();
    script.kill_workers(vec![61]).effect_of(3, 5, true, vec![71, 61]);
    expect(end(&mut script), Invariant::Reruns);
}

#[test]
fn a_task_may_be_run_again_once_its_worker_was_killed() {
    let mut script = run_again();
    script.kill_workers(vec![60]).effect_of(3, 5, true, vec![71, 61]);
    assert!(!end(&mut script).violated().contains(&Invariant::Reruns));
}

#[test]
fn a_log_with_a_hole_proves_nothing() {
    let mut script = ended();
    script.entries().remove(3);
    let judgement = script.judge();
    assert_eq!(judgement.verdict(), Verdict::Unknown, "{:#?}", judgement.findings);
}

#[test]
fn an_exception_that_is_final_ends_the_task() {
    let options = Options { no_retry: vec!["LookupError".to_owned()], ..Options::default() };
    for (class, status, right) in [
        ("LookupError", Status::Failed, true),
        ("LookupError", Status::Waiting, false),
        ("ValueError", Status::Waiting, true),
        ("ValueError", Status::Failed, false),
    ] {
        let mut script = clean();
        script.submit_with(3, &options).grant(3, 4, 1).fail(3, 4, class, status);
        if status == Status::Waiting {
            script.grant(3, 5, 2).complete(3, 5);
        }
        assert_eq!(end(&mut script).violated().is_empty(), right, "{class} and {status}");
    }
}

#[test]
fn a_task_that_starts_too_late_should_not_have() {
    let options = Options { start_by_ms: Some(20), ..Options::default() };
    for (idle, right) in [(10, true), (30, false)] {
        let mut script = clean();
        script.submit_with(3, &options).idle(idle).grant(3, 4, 1).complete(3, 4);
        assert_eq!(end(&mut script).violated().is_empty(), right, "after {idle} ms");
    }
    let mut script = clean();
    script.submit_with(3, &options).idle(30).read(3, Status::Failed, 0, 0);
    assert_eq!(end(&mut script).violated(), []);
}

#[test]
fn a_task_that_takes_too_long_in_all_has_failed() {
    let options = Options { total_ms: Some(20), ..Options::default() };
    let mut script = clean();
    script.submit_with(3, &options).grant(3, 4, 1).idle(30).read(3, Status::Failed, 4, 0);
    assert_eq!(end(&mut script).violated(), []);
    let mut script = clean();
    script.submit_with(3, &options).grant(3, 4, 1).idle(30).complete(3, 4);
    expect(end(&mut script), Invariant::Witness);
}

#[test]
fn a_dated_task_waits_for_the_calendar() {
    for (ahead, right) in [(5_u64, true), (500, false)] {
        let mut script = clean();
        let options = Options { run_at_ms: Some(CALENDAR + ahead), ..Options::default() };
        script.submit_with(3, &options).idle(10).grant(3, 4, 1).complete(3, 4);
        assert_eq!(end(&mut script).violated().is_empty(), right, "{ahead} ms ahead");
    }
}

#[test]
fn a_redrive_is_another_task() {
    let mut script = clean();
    script.submit(3).grant(3, 4, 1).fail(3, 4, "ValueError", Status::Waiting);
    script.grant(3, 5, 2).fail(3, 5, "ValueError", Status::Waiting);
    script.grant(3, 6, 3).fail(3, 6, "ValueError", Status::Failed);
    script.log(LogCommand::Redrive { task: task(3), into: task(4) });
    script.log(LogCommand::Redrive { task: task(3), into: task(4) });
    script.grant(4, 7, 1).complete(4, 7).read(3, Status::Failed, 6, 3);
    assert_eq!(end(&mut script).violated(), []);
}

#[test]
fn i13_the_lower_priority_goes_first() {
    for (priority, right) in [(Some(6), true), (Some(4), false)] {
        let mut script = clean();
        script.submit(3).submit_with(4, &Options { priority, ..Options::default() });
        script.grant(4, 4, 1).complete(4, 4).grant(3, 5, 1).complete(3, 5);
        assert_eq!(!end(&mut script).violated().contains(&Invariant::Order), right, "{priority:?}");
    }
}
