//! A reader: looks at what was decided lately, on every node, and closely while the leadership is in doubt.

use std::time::Duration;

use raftwork_node::replica::Standing;

use crate::host::{Answer, Ask};
use crate::outside::Outside;

/// The reader.
pub(crate) struct Reader {
    outside: Outside,
}

impl Reader {
    pub(crate) const fn new(outside: Outside) -> Self {
        Self { outside }
    }

    /// Looks until the faults are over. No look waits for the one before: a node that does not answer holds up none.
    pub(crate) async fn run(mut self) {
        while !self.outside.healed() {
            let pause = if self.outside.looks_closely() { 5..40 } else { 100..900 };
            let pause = self.outside.chance.within(pause);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            tokio::spawn(look(self.outside.fork()));
        }
    }
}

/// One look; what it sees must not be older than the question.
async fn look(mut outside: Outside) {
    outside.leader = outside.chance.within(1..outside.nodes + 1);
    let Some(task) = outside.audit.recent(&mut outside.chance) else { return };
    let known = outside.audit.known(&task);
    if let Some(Answer::Standing(standing)) = outside.ask(Ask::Read(task)).await {
        let record = standing.as_ref().and_then(|standing| match standing {
            Standing::Finished(record) => Some(record),
            Standing::Live { .. } => None,
        });
        outside.audit.read(&task, known, standing.is_some(), record);
    }
}
