//! What happened to tasks and the leader has not judged, or not even heard of, in the order in which it happened.

use std::collections::VecDeque;
use std::time::Duration;

use raftwork_api::kernel::LeaseRef;
use raftwork_api::stream::{Ending, FromWorker, REPORT_BYTES_MAX};

use super::Moment;

/// Bounded by the leases that the worker holds: each has at most one ending.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Said or to be said, and not judged.
    waiting: VecDeque<Report>,
    /// What the next message will say: what happens close together shares it, and the leader's work on it.
    news: News,
}

#[derive(Debug)]
struct Report {
    ending: Ending,
    /// When it was last said.
    said: Moment,
}

#[derive(Debug, Default)]
struct News {
    /// Since when there is something to say.
    since: Option<Moment>,
    /// Started and not ended.
    started: Vec<LeaseRef>,
    ended: Vec<Ending>,
}

impl Reports {
    pub(super) fn started(&mut self, now: Moment, lease: LeaseRef) {
        self.news.since.get_or_insert(now);
        self.news.started.push(lease);
    }

    /// Its child is free again: a start that was not told needs no word any more.
    pub(super) fn start_is_over(&mut self, lease: &LeaseRef) {
        self.news.started.retain(|started| started != lease);
    }

    pub(super) fn ended(&mut self, now: Moment, ending: Ending) {
        self.news.since.get_or_insert(now);
        self.news.ended.push(ending.clone());
        self.waiting.push_back(Report { ending, said: now });
    }

    /// Since when there is something new to say.
    pub(super) const fn news_since(&self) -> Option<Moment> {
        self.news.since
    }

    /// The messages that say what is new.
    pub(super) fn tell(&mut self) -> Vec<FromWorker> {
        let News { started, ended, .. } = std::mem::take(&mut self.news);
        if started.is_empty() && ended.is_empty() { Vec::new() } else { messages(started, ended) }
    }

    /// Nobody can be told now; a new leader hears of all of it when it takes the worker in.
    pub(super) fn forget_news(&mut self) {
        self.news = News::default();
    }

    /// Forgets the report on `lease`; false if there was none.
    pub(super) fn judged(&mut self, lease: &LeaseRef) -> bool {
        // Verdicts come in the order of the reports, so this finds it at the front.
        let at = self.waiting.iter().position(|report| report.ending.lease() == *lease);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }

    /// The messages that repeat what has waited for `patience` since it was last said, oldest first; it counts as said
    /// now.
    pub(super) fn repeat(&mut self, now: Moment, patience: Duration) -> Vec<FromWorker> {
        let unheard = self.waiting.iter_mut().filter(|report| report.said + patience <= now);
        let said_again = unheard.map(|report| {
            report.said = now;
            report.ending.clone()
        });
        let ended: Vec<Ending> = said_again.collect();
        if ended.is_empty() { Vec::new() } else { messages(Vec::new(), ended) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Cuts endings into messages of bounded size, in order; the first has the starts.
fn messages(started: Vec<LeaseRef>, ended: Vec<Ending>) -> Vec<FromWorker> {
    let mut messages = Vec::with_capacity(1);
    let (mut report, mut bytes) = (Vec::with_capacity(ended.len()), 0_usize);
    let mut started = Some(started);
    let mut message = |ended| FromWorker::Report { started: started.take().unwrap_or_default(), ended };
    for ending in ended {
        let more = size(&ending);
        if !report.is_empty() && bytes + more > REPORT_BYTES_MAX {
            messages.push(message(std::mem::take(&mut report)));
            bytes = 0;
        }
        bytes += more;
        report.push(ending);
    }
    messages.push(message(report));
    messages
}

/// Bytes of what user code returned, raised and printed.
fn size(ending: &Ending) -> usize {
    let (payload, output) = match ending {
        Ending::Complete(complete) => (complete.result.len(), &complete.output),
        Ending::CompleteInParts(complete) => (0, &complete.output),
        Ending::Fail(fail) => {
            let error = &fail.error;
            let exception = error.exception.as_ref().map_or(0, bytes::Bytes::len);
            (exception + error.message.len() + error.traceback.len(), &fail.output)
        }
        Ending::Release(_) => return 0,
    };
    payload + output.stdout.len() + output.stderr.len()
}

#[cfg(test)]
mod tests {
    use raftwork_api::kernel::{Complete, Output, TaskId, Token};

    use super::*;

    fn complete(number: u64, size: usize) -> Ending {
        let lease = LeaseRef { task: TaskId::from_u128(number.into()), token: Token(number) };
        Ending::Complete(Complete { lease, result: vec![0; size].into(), output: Output::default() })
    }

    #[test]
    fn endings_share_messages_of_bounded_size() {
        let mut reports = Reports::default();
        let sizes = [10, REPORT_BYTES_MAX - 10, 1, 3 * REPORT_BYTES_MAX, 1, 1];
        for (number, size) in (1..).zip(sizes) {
            reports.ended(Duration::ZERO, complete(number, size));
        }
        let ended = |message: &FromWorker| {
            let FromWorker::Report { ended, .. } = message else { panic!("no report, but {message:?}") };
            ended.len()
        };
        assert_eq!(reports.tell().iter().map(ended).collect::<Vec<_>>(), [2, 1, 1, 2]);
        assert_eq!(reports.tell(), [], "it was told");
        let again = reports.repeat(Duration::ZERO, Duration::ZERO);
        assert_eq!(again.iter().map(ended).collect::<Vec<_>>(), [2, 1, 1, 2]);
    }

    #[test]
    fn starts_need_no_ending_to_be_told() {
        let mut reports = Reports::default();
        let lease = LeaseRef { task: TaskId::from_u128(1), token: Token(1) };
        reports.started(Duration::ZERO, lease);
        assert_eq!(reports.tell(), [FromWorker::Report { started: vec![lease], ended: vec![] }]);
    }
}
