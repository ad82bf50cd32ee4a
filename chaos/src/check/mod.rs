//! Checkers: each invariant in a file of its own, pure over what was observed. None of them shares code with the server.

mod after;
mod attempts;
mod conservation;
mod coverage;
pub mod digests;
mod dossier;
mod durable;
mod effects;
mod evidence;
mod fencing;
mod forward;
mod keys;
mod limits;
mod linear;
mod liveness;
mod one_ending;
mod order;
mod rates;
mod replay;
mod replicas;
mod reruns;
mod results;
mod time;
mod tokens;
mod verdict;
mod witness;

use std::collections::BTreeMap;
use std::io::{self, BufRead};

pub use self::evidence::Counts;
pub(crate) use self::evidence::Evidence;
pub(crate) use self::verdict::seconds;
pub use self::verdict::{Finding, Invariant, Step, Story, Verdict};
use crate::history::{Line, ReadError, Reader};

/// What all checkers say of one history.
pub struct Judgement {
    /// One for each invariant, in the order of [`Invariant::ALL`].
    pub findings: Vec<Finding>,
    /// How many operations ended how.
    pub counts: Counts,
    pub(crate) evidence: Evidence,
}

impl Judgement {
    /// Violated if any finding is, else unknown if any is, else a pass.
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Unknown)
    }

    /// How often each fault took effect.
    pub fn faults(&self) -> BTreeMap<&str, u64> {
        coverage::happened(&self.evidence)
    }

    /// The invariants with this verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = Invariant> {
        self.findings
            .iter()
            .filter(move |finding| finding.verdict == verdict)
            .map(|finding| finding.invariant)
    }
}

/// Reads a history to its end and holds it against every invariant.
///
/// # Errors
/// When a line is damaged or contradicts one before it: a check of half a history would prove nothing.
pub fn check<R: BufRead>(reader: Reader<R>) -> Result<Judgement, ReadError> {
    check_with(reader, |_| Ok(()))
}

/// Like [`check`], and shows every line after the header to `each`.
///
/// # Errors
/// As [`check`], and when `each` fails.
pub fn check_with<R: BufRead>(
    mut reader: Reader<R>,
    each: impl FnMut(&Line) -> io::Result<()>,
) -> Result<Judgement, ReadError> {
    let evidence = Evidence::gather(&mut reader, each)?;
    let findings = Invariant::ALL.iter().map(|invariant| examine(*invariant, &evidence)).collect();
    Ok(Judgement { findings, counts: evidence.counts, evidence })
}

fn examine(invariant: Invariant, evidence: &Evidence) -> Finding {
    match invariant {
        Invariant::Durable => durable::check(evidence),
        Invariant::OneEnding => one_ending::check(evidence),
        Invariant::Tokens => tokens::check(evidence),
        Invariant::Fencing => fencing::check(evidence),
        Invariant::Forward => forward::check(evidence),
        Invariant::Keys => keys::check(evidence),
        Invariant::Conservation => conservation::check(evidence),
        Invariant::Replicas => replicas::check(evidence),
        Invariant::Attempts => attempts::check(evidence),
        Invariant::Time => time::check(evidence),
        Invariant::Liveness => liveness::check(evidence),
        Invariant::Effects => effects::check(evidence),
        Invariant::Order => order::check(evidence),
        Invariant::Coverage => coverage::check(evidence),
        Invariant::Results => results::check(evidence),
        Invariant::Reruns => reruns::check(evidence),
        Invariant::Limits => limits::check(evidence),
        Invariant::After => after::check(evidence),
        Invariant::Witness => witness::check(evidence),
        Invariant::Linearizable => linear::check(evidence),
    }
}
