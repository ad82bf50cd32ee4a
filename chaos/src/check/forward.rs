//! I5: what readers see only moves forward: a task that ended has ended, tokens and attempts never go back.

use super::dossier::{Deed, Sight};
use super::evidence::Evidence;
use super::verdict::{Finding, Inquiry, Invariant, Story};

pub(super) fn check(evidence: &Evidence) -> Finding {
    let mut inquiry = Inquiry::into(Invariant::Forward);
    let mut reads = 0_u64;
    for (task, dossier) in &evidence.tasks {
        // Stale reads promise no order: a node that was restarted may have applied less than before.
        let seen: Vec<(&Deed, Sight)> = dossier.sights().filter(|(deed, _)| !deed.is_stale_read()).collect();
        reads += seen.len() as u64;
        let mut returned: Vec<&(&Deed, Sight)> = seen.iter().collect();
        returned.sort_by_key(|(deed, _)| deed.to);
        let mut returned = returned.into_iter().peekable();
        let mut furthest = Furthest::default();
        for (deed, sight) in &seen {
            while let Some((other, sight)) =
                returned.next_if(|(other, _)| other.to.is_some_and(|to| to < deed.from))
            {
                furthest.learn(other, sight);
            }
            if let Some((before, what)) = furthest.beyond(sight) {
                let steps = vec![before.step(*task), deed.step(*task)];
                inquiry.violated(|| Story { headline: format!("{what} of task {task} goes back"), steps });
            }
        }
    }
    inquiry.close(format!("{reads} linearizable reads"))
}

/// The furthest that anybody had seen, with who.
#[derive(Default)]
struct Furthest<'d> {
    ended: Option<&'d Deed>,
    token: Option<(u64, &'d Deed)>,
    attempts: Option<(u32, &'d Deed)>,
}

impl<'d> Furthest<'d> {
    fn learn(&mut self, deed: &'d Deed, sight: &Sight) {
        if sight.status.is_terminal() {
            self.ended.get_or_insert(deed);
        }
        let token = sight.token.filter(|token| self.token.is_none_or(|(before, _)| before < *token));
        self.token = token.map(|token| (token, deed)).or(self.token);
        let attempts = sight.attempts.filter(|new| self.attempts.is_none_or(|(before, _)| before < *new));
        self.attempts = attempts.map(|attempts| (attempts, deed)).or(self.attempts);
    }

    /// Who had seen more than this, and of what.
    fn beyond(&self, sight: &Sight) -> Option<(&'d Deed, &'static str)> {
        let ended = self.ended.filter(|_| !sight.status.is_terminal()).map(|deed| (deed, "the status"));
        let token = self.token.filter(|(before, _)| sight.token.is_some_and(|token| token < *before));
        let attempts =
            self.attempts.filter(|(before, _)| sight.attempts.is_some_and(|attempts| attempts < *before));
        ended
            .or_else(|| token.map(|(_, deed)| (deed, "the token")))
            .or_else(|| attempts.map(|(_, deed)| (deed, "the number of attempts")))
    }
}
