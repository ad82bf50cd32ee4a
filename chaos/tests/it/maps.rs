//! Histories with maps: items stand from the acceptance of their map, run in their turn, and end with it.

use raftwork_api::kernel::{MapId, Status, Token};
use raftwork_chaos::check::Verdict;
use raftwork_chaos::history::{Call, Fingerprint, LogCommand, LogItem, Options, Outcome, Refusal, Reply};

use crate::script::{FUNCTION, Script, args, result, task};

const MAP: MapId = MapId::from_u128(7 << 32);

/// The number under which scripts know an item's task.
const fn item(index: u128) -> u128 {
    (7 << 32) + index + 1
}

fn map() -> LogCommand {
    let digest = Fingerprint(9);
    LogCommand::Map { map: MAP, function: FUNCTION, options: Options::default(), pieces: 2, digest }
}

/// A map of three items that were sent in two pieces, the last one first and twice; the client was told.
fn accepted() -> Script {
    let mut script = Script::new();
    for (index, items) in
        [(1, vec![args(item(2))]), (1, vec![args(item(2))]), (0, vec![args(item(0)), args(item(1))])]
    {
        script.log(LogCommand::Store { map: MAP, index, items });
    }
    script.log(map());
    script.submit_all(&[0, 1, 2].map(|index| (item(index), args(item(index)))), None);
    script.read(item(2), Status::Queued, 0, 0);
    script
}

fn close(script: &mut Script) -> &Script {
    script.fault().settle().effect(item(0), 1, true).digest(1, "d").digest(2, "d").digest(3, "d")
}

#[test]
fn items_run_in_the_order_of_their_map_and_end_one_by_one() {
    let mut script = accepted();
    script.grant(item(0), 1, 1).read(item(0), Status::Running, 1, 0).complete(item(0), 1);
    script.grant(item(1), 2, 1).complete(item(1), 2).grant(item(2), 3, 1).complete(item(2), 3);
    // A repeat changes nothing.
    script.log(map()).read_result(item(2), result(item(2)));
    let violated = close(&mut script).violated();
    assert_eq!(violated, [], "{:#?}", script.judge().findings);
}

#[test]
fn another_map_under_the_same_id_is_refused_for_the_items_that_are_the_same_too() {
    let mut script = accepted();
    let LogCommand::Map { map, function, options, pieces, .. } = map() else { unreachable!("it is one") };
    script.log(LogCommand::Map { map, function, options, pieces, digest: Fingerprint(10) });
    let other = [args(item(9)), args(item(1)), args(item(2))];
    let items = (0..).zip(other).map(|(index, args)| LogItem { task: task(item(index)), args }).collect();
    let results = (0..3).map(|index| result(item(index))).collect();
    let call = Call::Submit { function: FUNCTION, key: None, options: Options::default(), items, results };
    script.call(call, Outcome::Refused { code: Refusal::TaskConflict, current: None });
    for index in 0..3 {
        let token = u64::try_from(index + 1).expect("a small number");
        script.grant(item(index), token, 1).complete(item(index), token);
    }
    let violated = close(&mut script).violated();
    assert_eq!(violated, [], "{:#?}", script.judge().findings);
}

#[test]
fn a_cancelled_map_ends_what_lives_and_what_had_no_turn() {
    let mut script = accepted();
    script.grant(item(0), 1, 1).complete(item(0), 1).grant(item(1), 2, 1);
    // One call for both: they are in the air together.
    let cancels = [1, 2].map(|index| script.invoke(Call::Cancel { task: task(item(index)) }));
    script.log(LogCommand::CancelMap { map: MAP });
    for cancel in cancels {
        script.answer(cancel, None, Outcome::Ok(Reply::Done { status: Some(Status::Cancelled) }));
    }
    script.read(item(1), Status::Cancelled, 2, 0).read(item(2), Status::Cancelled, 0, 0);
    script.read(item(0), Status::Completed, 1, 0);
    let violated = close(&mut script).violated();
    assert_eq!(violated, [], "{:#?}", script.judge().findings);
}

#[test]
fn an_item_that_is_granted_out_of_its_turn_is_noticed() {
    let mut script = accepted();
    script.log(crate::script::acquire(1)).told_grant(item(2), 1, 1);
    assert!(close(&mut script).judge().with(Verdict::Violated).count() > 0);
}

#[test]
fn an_item_that_ends_after_its_map_was_cancelled_is_noticed() {
    let mut script = accepted();
    script.grant(item(0), 1, 1);
    script.log(LogCommand::CancelMap { map: MAP });
    script.log(LogCommand::Complete { task: task(item(0)), token: Token(1), result: result(item(0)) });
    script.read(item(0), Status::Completed, 1, 0);
    assert!(close(&mut script).judge().with(Verdict::Violated).count() > 0);
}
