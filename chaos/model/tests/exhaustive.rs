//! Everything that can happen is tried: the protocol holds, and without any one of its rules it does not.

use std::collections::BTreeSet;

use raftwork_model::{Flaw, Leases};
use stateright::{Checker, HasDiscoveries, Model};

#[test]
fn the_protocol_holds_whatever_happens() {
    holds(Leases::sound(), 10_000);
}

#[test]
#[ignore = "takes minutes: run it after a change of the protocol"]
fn the_protocol_holds_whatever_happens_over_two_elections() {
    holds(Leases { elections_max: 2, ttl: 2, ..Leases::sound() }, 1_000_000);
}

fn holds(leases: Leases, states_min: usize) {
    let checker = leases.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > states_min, "{states} states are too few");
}

/// Leaves a rule out, and expects that the property breaks which rests on it.
#[track_caller]
fn expect(flaw: Flaw, property: &'static str) {
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = Leases::without(flaw).checker().finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(property);
    assert!(!path.into_actions().is_empty(), "a counter-example has steps");
}

#[test]
fn stale_reports_must_not_count() {
    expect(Flaw::StaleReportsCount, "a stale token is never accepted");
}

#[test]
fn a_token_must_outlive_its_lease() {
    expect(Flaw::LateReportsAreRefused, "late but unsuperseded wins");
}

#[test]
fn tokens_must_be_replicated() {
    expect(Flaw::TokensAreSoftState, "tokens rise");
}

#[test]
fn records_must_not_be_replaced() {
    expect(Flaw::RecordsAreReplaced, "at most one terminal record");
}

#[test]
fn expiries_must_name_a_token() {
    expect(Flaw::ExpiriesNameNoToken, "an expiry ends its own lease only");
}

#[test]
fn a_new_leader_must_not_take_silence_for_death() {
    expect(Flaw::SilenceAtElection, "a fail-over ends no lease that lives");
}
