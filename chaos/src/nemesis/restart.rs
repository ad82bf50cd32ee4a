//! Planned restarts of all nodes, one after the other, as an upgrade does it.

use std::time::Duration;

use futures::FutureExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step};

/// How long a restarted node may take to catch up.
const READY_WITHIN: Duration = Duration::from_mins(1);

#[derive(Default)]
pub(super) struct RollingRestart {
    restarted: usize,
}

impl Nemesis for RollingRestart {
    fn name(&self) -> &'static str {
        "rolling-restart"
    }

    fn explain(&self) -> &'static str {
        "SIGTERM and start of every node, one after the other, each once the one before serves again"
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
            let mut order = cluster.ids();
            order.shuffle(random);
            self.restarted = 0;
            for id in &order {
                let mut node = cluster.node(*id).await;
                node.process.stop().await?;
                node.process.start()?;
                drop(node);
                cluster.await_ready(READY_WITHIN).await?;
                self.restarted += 1;
            }
            Ok(Deed::new(order.clone(), format!("restarted in the order {order:?}")))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let all = self.restarted == scene.cluster.ids().len();
            Ok(Ending::new(all, format!("{} nodes were restarted", self.restarted)))
        }
        .boxed()
    }
}
