//! The agent's rules as scripts: at a time, something happens, and that is what it does.

use super::*;

#[test]
fn a_task_from_grant_to_verdict() {
    let mut script = Script::new(WorkerMode::Push, 2, 0);
    assert_eq!(script.at(0, [Input::Connected]), ["hello []"]);
    assert_eq!(script.at(5, [welcome()]), ["beat 1 []"]);
    assert_eq!(script.at(10, [grants(&[(1, 5), (2, 6)])]), ["fetch 1"]);
    let code = ToWorker::Code { function: FunctionId::from_u128(1), code: Some(Bytes::from_static(b"c")) };
    assert_eq!(script.at(12, [received(code)]), ["run 1.5", "run 2.6", "started 1.5 2.6"]);
    assert_eq!(script.at(20, [completed(1, 5), failed(2, 6)]), ["complete 1.5", "fail 2.6: Exception"]);
    assert_eq!(script.at(1005, [beat(1)]), ["beat 2 [1.5* 2.6*]"]);
    assert_eq!(script.at(1010, [verdict(1, 5), verdict(2, 6)]), NOTHING);
    assert_eq!(script.at(2005, [Input::Tick]), ["beat 3 []"]);
}

#[test]
fn what_it_offers_is_said_on_every_connection() {
    let mut script = Script::offering(&["zone=eu", "gpu"]);
    assert_eq!(script.at(0, [Input::Connected]), ["hello []", "offer gpu,zone=eu"]);
    assert_eq!(script.at(5, [welcome()]), ["beat 1 []"]);
    script.at(10, [Input::Disconnected]);
    assert_eq!(script.at(20, [Input::Connected]), ["hello []", "offer gpu,zone=eu"]);
}

#[test]
fn progress_is_told_now_and_then_and_again_to_a_new_leader() {
    let mut script = Script::push(2, 0);
    script.at(10, [grants(&[(1, 5), (2, 6)])]);
    assert_eq!(script.at(20, [progress(1, 5, 1), progress(1, 5, 2)]), ["progress 1.5 at 2"]);
    assert_eq!(script.at(30, [progress(1, 5, 3), progress(2, 6, 7)]), NOTHING);
    assert_eq!(script.next_wake(30), Some(270));
    assert_eq!(script.at(270, [Input::Tick]), ["progress 1.5 at 3 2.6 at 7"]);
    assert_eq!(script.next_wake(270), Some(1000));
    // Of what is over, or was never here, nothing is told.
    assert_eq!(script.at(600, [progress(2, 6, 8), completed(2, 6), progress(9, 9, 9)]), ["complete 2.6"]);
    script.at(700, [Input::Disconnected, progress(1, 5, 4)]);
    assert_eq!(script.at(800, [Input::Connected]), ["hello [1.5* 2.6*]"]);
    let told = script.at(810, [welcome()]);
    assert!(told.contains(&"progress 1.5 at 4".to_owned()), "{told:?}");
}

#[test]
fn heartbeats_follow_the_leaders_interval() {
    let mut script = Script::push(1, 0);
    assert_eq!(script.next_wake(0), Some(1000));
    assert_eq!(script.at(999, [Input::Tick]), NOTHING);
    assert_eq!(script.at(1000, [Input::Tick]), ["beat 2 []"]);
    assert_eq!(script.next_wake(1000), Some(2000));
}

#[test]
fn prefetched_tasks_start_in_order_as_slots_become_free() {
    let mut script = Script::push(1, 2);
    assert_eq!(script.at(1, [grants(&[(3, 5), (2, 6), (1, 7)])]), ["run 3.5"]);
    assert_eq!(script.at(2, [completed(3, 5)]), ["run 2.6", "complete 3.5", "started 2.6"]);
    assert_eq!(script.at(3, [revoke(1, 7)]), NOTHING);
    assert_eq!(script.at(4, [completed(2, 6)]), ["complete 2.6"]);
}

#[test]
fn what_happens_close_together_is_told_together_while_the_slots_have_work() {
    let mut script = Script::push(2, 4);
    assert_eq!(script.at(10, [grants(&[(1, 5), (2, 6), (3, 7), (4, 8), (5, 9)])]), ["run 1.5", "run 2.6"]);
    assert_eq!(script.next_wake(10), Some(11));
    assert_eq!(script.at(10, [completed(1, 5)]), ["run 3.7"]);
    // A start whose end is told needs no word of its own.
    assert_eq!(script.at(11, [Input::Tick]), ["complete 1.5", "started 2.6 3.7"]);
    assert_eq!(script.next_wake(11), Some(1000));
    // Nothing is left to start next: the leader hears at once.
    assert_eq!(
        script.at(12, [completed(2, 6), completed(3, 7)]),
        ["run 4.8", "run 5.9", "complete 2.6", "complete 3.7", "started 4.8 5.9"]
    );
}

#[test]
fn a_new_leader_is_told_what_is_held_and_the_child_works_on() {
    let mut script = Script::push(2, 0);
    script.at(1, [beat(1), grants(&[(1, 5), (2, 6)])]);
    assert_eq!(script.at(100, [completed(2, 6)]), ["complete 2.6"]);
    assert_eq!(script.at(101, [Input::Disconnected]), NOTHING);
    assert_eq!(script.at(400, [Input::Connected]), ["hello [1.5* 2.6*]"]);
    assert_eq!(script.at(401, [not_leader(Some("n2"))]), ["hang up, go to n2"]);
    assert_eq!(script.at(500, [Input::Connected]), ["hello [1.5* 2.6*]"]);
    assert_eq!(script.at(510, [welcome()]), ["beat 1 [1.5* 2.6*]", "complete 2.6"]);
    assert_eq!(script.at(520, [beat(1), verdict(2, 6), completed(1, 5)]), ["complete 1.5"]);
}

#[test]
fn reports_made_while_nobody_listens_are_delivered_in_order() {
    let mut script = Script::push(3, 0);
    script.at(1, [beat(1), grants(&[(1, 5), (2, 6), (3, 7)]), Input::Disconnected]);
    assert_eq!(script.at(2, [completed(3, 7), failed(1, 5)]), NOTHING);
    assert_eq!(script.at(3, [Input::Connected, completed(2, 6)]), ["hello [1.5* 2.6* 3.7*]"]);
    let told = ["beat 1 [1.5* 2.6* 3.7*]", "complete 3.7", "fail 1.5: Exception", "complete 2.6"];
    assert_eq!(script.at(4, [welcome()]), told);
}

#[test]
fn a_cut_off_worker_stops_its_tasks_at_three_quarters_of_the_ttl() {
    let mut script = Script::push(1, 1);
    script.at(1, [grants(&[(1, 5), (2, 6)])]);
    assert_eq!(script.at(1000, [Input::Tick]), ["started 1.5", "beat 2 [1.5* 2.6]"]);
    // Answered late: what counts is when it was sent.
    assert_eq!(script.at(1900, [beat(2), Input::Disconnected]), NOTHING);
    assert_eq!(script.next_wake(1900), Some(8500));
    assert_eq!(script.at(8499, [Input::Tick]), NOTHING);
    assert_eq!(script.at(8500, [Input::Tick]), ["kill 1.5"]);
    assert_eq!(script.next_wake(8500), None);
    assert_eq!(script.at(9000, [stopped(1, 5)]), NOTHING);
    assert_eq!(script.at(9100, [Input::Connected]), ["hello [1.5* 2.6]"]);
    assert_eq!(script.at(9110, [welcome()]), ["beat 1 [1.5* 2.6]", "release 2.6", "release 1.5"]);
    assert_eq!(script.at(9120, [verdict(2, 6), stale(1, 5), grants(&[(3, 9)])]), ["run 3.9", "started 3.9"]);
}

#[test]
fn a_leader_that_cannot_confirm_heartbeats_is_left() {
    let mut script = Script::push(1, 0);
    script.at(1, [beat(1), grants(&[(1, 5)])]);
    for second in 1..=7 {
        script.at(second * 1000, [Input::Tick]);
    }
    assert_eq!(script.at(7500, [Input::Tick]), ["kill 1.5", "hang up, go to anybody"]);
}

#[test]
fn a_welcome_alone_does_not_lengthen_leases() {
    let mut script = Script::push(1, 1);
    script.at(1, [beat(1), grants(&[(1, 5)]), Input::Disconnected]);
    script.at(7000, [Input::Connected, welcome()]);
    assert_eq!(script.next_wake(7000), Some(7500));
    assert_eq!(script.at(7500, [Input::Tick]), ["kill 1.5", "hang up, go to anybody"]);
}

#[test]
fn after_it_stopped_itself_nothing_starts_before_an_answered_heartbeat() {
    let mut script = Script::push(2, 0);
    script.at(1, [beat(1), grants(&[(1, 5)]), Input::Disconnected]);
    assert_eq!(script.at(7500, [Input::Tick]), ["kill 1.5"]);
    script.at(8000, [Input::Connected, welcome()]);
    assert_eq!(script.at(8010, [grants(&[(2, 8)])]), NOTHING);
    assert_eq!(script.at(8020, [beat(1)]), ["run 2.8", "started 2.8"]);
}

#[test]
fn a_result_that_was_faster_than_the_kill_is_offered() {
    let mut script = Script::push(1, 0);
    script.at(1, [grants(&[(1, 5)])]);
    assert_eq!(script.at(2, [revoke(1, 5)]), ["kill 1.5"]);
    assert_eq!(script.at(3, [completed(1, 5)]), ["complete 1.5"]);
    assert_eq!(script.at(4, [stale(1, 5)]), NOTHING);
    assert!(script.agent.tasks.is_empty());
}

#[test]
fn revoked_tasks_stop_and_are_not_reported() {
    let mut script = Script::push(2, 1);
    script.at(1, [grants(&[(1, 5), (2, 6), (3, 7)])]);
    assert_eq!(script.at(2, [revoke(1, 5), revoke(3, 7)]), ["kill 1.5"]);
    assert_eq!(script.at(3, [lost(1, &[(1, 5), (2, 6)])]), ["kill 2.6"]);
    assert_eq!(script.at(4, [stopped(1, 5), failed(2, 6)]), NOTHING);
    assert!(script.agent.tasks.is_empty());
}

#[test]
fn the_word_of_a_node_counts_once_it_has_shown_that_it_leads() {
    let mut script = Script::push(1, 0);
    script.at(1, [grants(&[(1, 5)]), Input::Disconnected]);
    script.at(2, [Input::Connected, welcome()]);
    // A leader of yesterday does not know the grant. It cannot answer a heartbeat, and is left alone with its opinion.
    assert_eq!(script.at(3, [revoke(1, 5)]), NOTHING);
    assert_eq!(script.at(4, [Input::Disconnected, Input::Connected]), ["hello [1.5*]"]);
    script.at(5, [welcome()]);
    // A leader of today is believed as soon as it is known to be one.
    assert_eq!(script.at(6, [revoke(1, 5)]), NOTHING);
    assert_eq!(script.at(7, [beat(1)]), ["kill 1.5"]);
}

#[test]
fn what_is_not_answered_is_said_again() {
    let mut script = Script::welcome(WorkerMode::Pull, 1, 2);
    let grants = vec![work(1, 5, 1), work(2, 6, 7)];
    let told =
        script.at(500, [received(ToWorker::Grants { request: RequestId::from_u128(0x101), work: grants })]);
    assert_eq!(told, ["fetch 7", "run 1.5", "ask 102 for 1"]);
    assert_eq!(script.at(600, [completed(1, 5)]), ["complete 1.5"]);
    for second in 1..=5 {
        let told = script.at(second * 1000, [Input::Tick, beat(second)]);
        assert_eq!(told, [format!("beat {} [1.5* 2.6]", second + 1)]);
    }
    let told = ["beat 7 [1.5* 2.6]", "complete 1.5", "fetch 7", "ask 102 for 1"];
    assert_eq!(script.at(6000, [Input::Tick]), told);
    assert_eq!(script.at(7000, [Input::Tick]), ["beat 8 [1.5* 2.6]"]);
}

#[test]
fn a_task_that_nobody_needs_any_more_is_not_given_back() {
    let mut script = Script::push(1, 0);
    script.at(1, [grants(&[(1, 5)]), Input::Disconnected]);
    assert_eq!(script.at(7500, [Input::Tick]), ["kill 1.5"]);
    script.at(8000, [Input::Connected, welcome()]);
    assert_eq!(script.at(8010, [lost(1, &[(1, 5)])]), NOTHING);
    assert_eq!(script.at(8020, [stopped(1, 5)]), NOTHING);
    assert!(script.agent.tasks.is_empty());
}

#[test]
fn a_report_outlives_the_revocation_of_its_lease() {
    let mut script = Script::push(1, 0);
    script.at(1, [grants(&[(1, 5)])]);
    script.at(2, [completed(1, 5)]);
    assert_eq!(script.at(3, [revoke(1, 5), Input::Disconnected, Input::Connected]), ["hello [1.5*]"]);
    assert_eq!(script.at(4, [welcome()]), ["beat 1 [1.5*]", "complete 1.5"]);
}

#[test]
fn a_stale_verdict_is_dropped_quietly() {
    let mut script = Script::push(1, 0);
    script.at(1, [grants(&[(1, 5)])]);
    script.at(2, [completed(1, 5)]);
    assert_eq!(script.at(3, [stale(1, 5)]), NOTHING);
    assert_eq!(script.at(4, [Input::Disconnected, Input::Connected]), ["hello []"]);
    assert_eq!(script.at(5, [welcome()]), ["beat 1 []"]);
}

#[test]
fn a_verdict_on_a_task_that_runs_changes_nothing() {
    let mut script = Script::push(1, 0);
    script.at(1, [grants(&[(1, 5)])]);
    assert_eq!(script.at(2, [verdict(1, 5)]), NOTHING);
    assert_eq!(script.at(3, [completed(1, 5)]), ["complete 1.5"]);
}

#[test]
fn grants_that_come_twice_run_once() {
    let mut script = Script::push(1, 1);
    assert_eq!(script.at(1, [grants(&[(1, 5), (2, 6)])]), ["run 1.5"]);
    assert_eq!(script.at(2, [grants(&[(1, 5), (2, 6)])]), ["started 1.5"]);
    assert_eq!(script.at(3, [completed(1, 5)]), ["run 2.6", "complete 1.5", "started 2.6"]);
    assert_eq!(script.at(4, [grants(&[(1, 5), (2, 6)])]), NOTHING);
}

#[test]
fn a_newer_grant_of_the_same_task_replaces_the_older() {
    let mut script = Script::push(2, 0);
    script.at(1, [grants(&[(1, 5)])]);
    // The old attempt is killed, and the new one waits until it is dead although a slot is free.
    assert_eq!(script.at(2, [grants(&[(1, 9)])]), ["kill 1.5"]);
    assert_eq!(script.at(3, [grants(&[(1, 5)])]), NOTHING);
    assert_eq!(script.at(4, [stopped(1, 5)]), ["run 1.9", "started 1.9"]);
}

#[test]
fn pull_asks_for_what_there_is_room_for_one_ask_at_a_time() {
    let mut script = Script::new(WorkerMode::Pull, 2, 1);
    assert_eq!(script.at(0, [Input::Connected, welcome()]), ["hello []", "beat 1 []", "ask 101 for 3"]);
    script.agent.codes.want(Duration::ZERO, FunctionId::from_u128(1), CodeHash([1; 32]));
    script.agent.codes.arrived(&FunctionId::from_u128(1), Some(&Bytes::new()));
    let told = ["run 1.5", "started 1.5", "ask 102 for 2"];
    assert_eq!(script.at(1, [answer(0x101, &[(1, 5)])]), told);
    // Room grows, but an ask is out.
    assert_eq!(script.at(2, [completed(1, 5), verdict(1, 5)]), ["complete 1.5"]);
    assert_eq!(
        script.at(3, [answer(0x102, &[(2, 6), (3, 7)])]),
        ["run 2.6", "run 3.7", "started 2.6 3.7", "ask 103 for 1"]
    );
}

#[test]
fn an_unanswered_ask_is_repeated_under_its_id() {
    let mut script = Script::welcome(WorkerMode::Pull, 2, 0);
    script.at(1, [Input::Disconnected]);
    let told = ["hello []", "beat 1 []", "ask 101 for 2"];
    assert_eq!(script.at(2, [Input::Connected, welcome()]), told);
    // The first answer had been lost with the connection; the second brings the same.
    assert_eq!(script.at(3, [answer(0x101, &[(1, 5), (2, 6)])]), ["run 1.5", "run 2.6", "started 1.5 2.6"]);
    assert_eq!(script.at(4, [completed(1, 5)]), ["complete 1.5", "ask 102 for 1"]);
}

#[test]
fn an_empty_answer_does_not_make_the_worker_spin() {
    let mut script = Script::welcome(WorkerMode::Pull, 1, 0);
    assert_eq!(script.at(1, [answer(0x101, &[])]), NOTHING);
    assert_eq!(script.at(1000, [Input::Tick]), ["beat 2 []", "ask 102 for 1"]);
}

#[test]
fn a_drain_gives_back_what_waits_and_lets_the_rest_finish() {
    let mut script = Script::push(1, 1);
    script.at(1, [grants(&[(1, 5), (2, 6)])]);
    assert_eq!(script.at(10, [Input::Drain]), ["beat 2 [1.5* 2.6] draining", "release 2.6", "started 1.5"]);
    assert_eq!(script.at(20, [verdict(2, 6), grants(&[(3, 9)])]), ["release 3.9"]);
    assert_eq!(script.at(30, [verdict(3, 9), completed(1, 5)]), ["complete 1.5"]);
    assert_eq!(script.at(40, [verdict(1, 5)]), ["exit Drained"]);
}

#[test]
fn an_idle_worker_drains_at_once() {
    assert_eq!(Script::push(1, 0).at(10, [Input::Drain]), ["beat 2 [] draining", "exit Drained"]);
    let dismissed = [received(ToWorker::Drain)];
    assert_eq!(Script::push(1, 0).at(10, dismissed), ["beat 2 [] draining", "exit Dismissed"]);
    assert_eq!(Script::new(WorkerMode::Push, 1, 0).at(10, [Input::Drain]), ["exit Drained"]);
}

#[test]
fn a_drain_that_takes_too_long_gives_running_tasks_back() {
    let mut script = Script::push(1, 0);
    script.at(0, [beat(1), grants(&[(1, 5)])]);
    script.at(0, [Input::Drain]);
    for second in 1..30 {
        script.at(second * 1000, [Input::Tick, beat(second + 1)]);
    }
    assert_eq!(script.at(29_999, [Input::Tick]), NOTHING);
    assert_eq!(script.at(30_000, [Input::Tick]), ["kill 1.5", "beat 32 [1.5*] draining"]);
    assert_eq!(script.at(30_100, [stopped(1, 5)]), ["release 1.5"]);
    assert_eq!(script.at(30_110, [verdict(1, 5)]), ["exit Drained"]);
}

#[test]
fn the_second_signal_does_not_wait() {
    let mut script = Script::push(2, 0);
    script.at(0, [beat(1), grants(&[(1, 5), (2, 6)])]);
    script.at(10, [Input::Drain]);
    assert_eq!(script.at(20, [Input::Stop]), ["kill 1.5", "kill 2.6"]);
    assert_eq!(script.at(30, [stopped(1, 5)]), ["release 1.5"]);
    assert_eq!(script.next_wake(30), Some(1010));
    // One child does not want to die: its lease will expire.
    assert_eq!(script.at(1020, [verdict(1, 5)]), ["beat 3 [2.6*] draining", "exit Stopped"]);
}

#[test]
fn a_leaving_worker_does_not_wait_for_ever_for_a_leader() {
    let mut script = Script::push(1, 0);
    script.at(0, [beat(1), grants(&[(1, 5)])]);
    assert_eq!(script.at(1, [Input::Disconnected, Input::Drain, completed(1, 5)]), NOTHING);
    assert_eq!(script.at(10_000, [Input::Tick]), NOTHING);
    assert_eq!(script.at(10_001, [Input::Tick]), ["exit Drained"]);
}

#[test]
fn code_is_fetched_once_and_again_on_a_new_connection() {
    let mut script = Script::push(2, 0);
    let two = |tokens: [u64; 2]| {
        let work = vec![work(1, tokens[0], 7), work(2, tokens[1], 7)];
        received(ToWorker::Grants { request: RequestId::from_u128(0), work })
    };
    assert_eq!(script.at(1, [two([5, 6])]), ["fetch 7"]);
    script.at(2, [Input::Disconnected]);
    let told = ["hello [1.5 2.6]", "beat 1 [1.5 2.6]", "fetch 7"];
    assert_eq!(script.at(3, [Input::Connected, welcome()]), told);
    let none = ToWorker::Code { function: FunctionId::from_u128(7), code: None };
    assert_eq!(script.at(4, [received(none)]), ["fail 1.5: Load", "fail 2.6: Load"]);
}

#[test]
fn a_worker_whose_python_is_broken_pauses_and_then_gives_up() {
    let mut script = Script::push(2, 0);
    script.at(0, [beat(1), grants(&[(1, 5), (2, 6)])]);
    // Both fell to one accident, which counts once.
    assert_eq!(script.at(10, [not_run(1, 5), not_run(2, 6)]), ["release 1.5", "release 2.6"]);
    assert_eq!(script.at(20, [verdict(1, 5), verdict(2, 6), grants(&[(1, 7)])]), NOTHING);
    assert_eq!(script.next_wake(20), Some(110));
    assert_eq!(script.at(110, [Input::Tick]), ["run 1.7", "started 1.7"]);
    let (mut now, mut token) = (110, 7);
    let mut told = Vec::new();
    for accidents in 2..=10 {
        assert!(told.is_empty(), "gave up after {accidents} accidents: {told:?}");
        script.at(now, [Input::Disconnected, Input::Connected, welcome(), beat(1), not_run(1, token)]);
        token += 1;
        script.at(now, [verdict(1, token - 1), grants(&[(1, token)])]);
        now += 5_000;
        told = script.at(now, [Input::Tick]);
        told.retain(|action| action.starts_with("exit"));
    }
    assert!(script.agent.leaving.is_some());
}

#[test]
fn what_is_held_follows_the_run_times() {
    let mut script = Script::automatic(WorkerMode::Push, 2);
    script.at(0, [beat(1), grants(&[(1, 5), (2, 6)])]);
    assert_eq!(
        script.at(10, [completed(1, 5)]),
        ["capacity 12", "complete 1.5"],
        "10 ms each: 5 for each slot"
    );
    assert_eq!(script.at(11, [completed(2, 6)]), ["complete 2.6"], "as before");
    assert_eq!(script.at(12, [grants(&[(3, 7)])]), ["run 3.7", "started 3.7"]);
    assert_eq!(
        script.at(212, [completed(3, 7)]),
        ["capacity 2", "complete 3.7"],
        "a long one: nothing is held"
    );
    assert_eq!(script.at(213, [Input::Disconnected, Input::Connected]), ["hello [1.5* 2.6* 3.7*]"]);
}

#[test]
fn tasks_that_wait_behind_long_ones_are_given_back() {
    let mut script = Script::automatic(WorkerMode::Push, 2);
    script.at(0, [beat(1), grants(&[(1, 5)])]);
    script.at(1, [completed(1, 5)]);
    script.at(2, [verdict(1, 5), grants(&[(2, 6), (3, 7), (4, 8)])]);
    script.at(100, [grants(&[(5, 9)])]);
    assert_eq!(script.next_wake(100), Some(252));
    assert_eq!(script.at(251, [Input::Tick]), NOTHING);
    assert_eq!(script.at(252, [Input::Tick]), ["capacity 2", "release 4.8", "release 5.9"]);
    assert_eq!(script.next_wake(252), Some(1000));
    // The leader's next grants were on their way; the slots are as busy as before.
    assert_eq!(script.at(300, [verdict(4, 8), verdict(5, 9), grants(&[(6, 10)])]), NOTHING);
    assert_eq!(script.at(550, [Input::Tick]), ["release 6.10"]);
}

#[test]
fn a_slot_that_becomes_free_takes_what_has_waited_for_long() {
    let mut script = Script::automatic(WorkerMode::Push, 1);
    script.at(0, [beat(1), grants(&[(1, 5), (2, 6), (3, 7)])]);
    assert_eq!(script.at(400, [completed(1, 5)]), ["run 2.6", "complete 1.5", "release 3.7", "started 2.6"]);
}

#[test]
fn a_number_that_was_asked_for_is_held_however_long_tasks_take() {
    let mut script = Script::push(1, 1);
    script.at(0, [beat(1), grants(&[(1, 5), (2, 6)])]);
    assert_eq!(script.at(999, [Input::Tick]), ["started 1.5"]);
    assert_eq!(script.at(999, [completed(1, 5)]), ["run 2.6", "complete 1.5", "started 2.6"]);
}

#[test]
fn pull_asks_again_before_the_slots_run_dry() {
    let mut script = Script::welcome(WorkerMode::Pull, 1, 4);
    let told = script.at(1, [answer(0x101, &[(1, 5), (2, 6), (3, 7), (4, 8)])]);
    assert_eq!(told, ["run 1.5"], "three wait");
    assert_eq!(script.at(2, [completed(1, 5)]), ["run 2.6", "complete 1.5", "started 2.6", "ask 102 for 2"]);
}

#[test]
fn an_ask_for_many_short_tasks_is_not_left_standing_when_tasks_are_long() {
    let mut script = Script::automatic(WorkerMode::Pull, 2);
    script.at(0, [beat(1), answer(0x101, &[(1, 5), (2, 6)])]);
    assert_eq!(script.at(1, [completed(1, 5)]), ["complete 1.5", "ask 102 for 101"]);
    script.at(2, [verdict(1, 5)]);
    assert_eq!(script.at(500, [completed(2, 6)]), ["complete 2.6", "ask 102 for 2"]);
    // The answer to the first ask had been on its way.
    script.at(501, [verdict(2, 6), answer(0x102, &[(3, 7), (4, 8), (5, 9)])]);
    assert_eq!(script.at(751, [Input::Tick]), ["release 5.9"]);
}
