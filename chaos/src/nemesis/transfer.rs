//! Planned hand-overs of the leadership.

use std::time::Duration;

use futures::FutureExt;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others};

/// How long a hand-over may take before it counts as one that did not happen.
const WITHIN: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct TransferLeadership {
    outcome: Option<(u64, Option<Duration>)>,
}

impl Nemesis for TransferLeadership {
    fn name(&self) -> &'static str {
        "transfer"
    }

    fn explain(&self) -> &'static str {
        "leadership is handed to another node, as planned"
    }

    fn breaks(&self) -> Breaks {
        Breaks::Peace
    }

    fn needs(&self) -> Needs {
        Needs::Majority
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let cluster = &scene.cluster;
            let (leader, others) = leader_and_others(cluster).await?;
            let to = draw(random, &others);
            let begun = Instant::now();
            cluster.views().transfer(leader, to).await?;
            while begun.elapsed() < WITHIN
                && cluster.views().leader().await.is_none_or(|view| view.node != to)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let took = begun.elapsed();
            self.outcome = Some((to, (took < WITHIN).then_some(took)));
            Ok(Deed::new(vec![leader, to], format!("node {leader} hands over to node {to}")))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, _: &'a Scene) -> Step<'a, Ending> {
        let ending = match self.outcome.take() {
            Some((to, Some(took))) => {
                Ending::new(true, format!("node {to} leads after {} ms", took.as_millis()))
            }
            Some((to, None)) => Ending::new(false, format!("node {to} does not lead after {WITHIN:?}")),
            None => Ending::new(false, "nothing was handed over"),
        };
        async move { Ok(ending) }.boxed()
    }
}
