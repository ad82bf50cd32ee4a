//! Wall clocks that jump or disagree. Nothing in the cluster may depend on them but what is told to people, and what people date.

use anyhow::Context;
use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw};
use crate::cluster::Cluster;

/// Milliseconds of an hour.
const HOUR: i64 = 3_600_000;

struct Clock {
    jump: bool,
    before: u64,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    [true, false].into_iter().map(|jump| Box::new(Clock { jump, before: 0 }) as Box<dyn Nemesis>)
}

async fn set_ahead(cluster: &Cluster, id: u64, ms: i64) -> anyhow::Result<()> {
    let node = cluster.node(id).await;
    Ok(node.levers.as_ref().context("there are no levers")?.set_clock_ahead_ms(ms)?)
}

async fn effects(cluster: &Cluster) -> anyhow::Result<u64> {
    let mut sum = 0;
    for id in cluster.ids() {
        sum += u64::from(cluster.node(id).await.levers.as_ref().context("there are no levers")?.effects()?);
    }
    Ok(sum)
}

impl Nemesis for Clock {
    fn name(&self) -> &'static str {
        if self.jump { "clock-jump" } else { "clock-skew" }
    }

    fn explain(&self) -> &'static str {
        if self.jump {
            "the wall clock of one node, the leader's as a rule, jumps by up to an hour, and back"
        } else {
            "the wall clocks of all nodes disagree by up to ten seconds"
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Clocks
    }

    fn needs(&self) -> Needs {
        Needs::Levers
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let cluster = &scene.cluster;
            self.before = effects(cluster).await?;
            if self.jump {
                // Beside another fault it may be that no node leads: any clock will do then.
                let leader = if random.random_bool(0.7) { cluster.views().leader().await } else { None };
                let id = leader.map_or_else(|| draw(random, &cluster.ids()), |view| view.node);
                let ms = random.random_range(-HOUR..=HOUR);
                set_ahead(cluster, id, ms).await?;
                return Ok(Deed::new(vec![id], format!("the clock of node {id} jumps by {} s", ms / 1000)));
            }
            let mut told = Vec::new();
            for id in cluster.ids() {
                let ms = random.random_range(-5_000..=5_000);
                set_ahead(cluster, id, ms).await?;
                told.push(format!("node {id} by {ms} ms"));
            }
            Ok(Deed::new(cluster.ids(), format!("clocks are ahead: {}", told.join(", "))))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let cluster = &scene.cluster;
            let seen = effects(cluster).await? - self.before;
            for id in cluster.ids() {
                set_ahead(cluster, id, 0).await?;
            }
            Ok(Ending::new(seen > 0, format!("clocks are right again; {seen} looks at a wrong one")))
        }
        .boxed()
    }
}
