//! Power failures: everything that was not synced is gone.

use futures::FutureExt;
use rand::rngs::StdRng;

use anyhow::Context;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, named};

struct Power {
    all: bool,
    without: Vec<u64>,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    [false, true].into_iter().map(|all| Box::new(Power { all, without: Vec::new() }) as Box<dyn Nemesis>)
}

impl Nemesis for Power {
    fn name(&self) -> &'static str {
        if self.all { "power-all" } else { "power" }
    }

    fn explain(&self) -> &'static str {
        if self.all {
            "power failure of every node at once: what was not synced is gone"
        } else {
            "power failure of one node: what was not synced is gone"
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Nodes
    }

    fn needs(&self) -> Needs {
        Needs::OwnDisks
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let cluster = &scene.cluster;
            self.without = if self.all { cluster.ids() } else { vec![draw(random, &cluster.ids())] };
            // All at once, as far as that goes. No process outlives the power of its disk: see `Image::cut_power`.
            for id in &self.without {
                let mut node = cluster.node(*id).await;
                node.may_end = true;
                node.process.freeze().await?;
            }
            for id in &self.without {
                let mut node = cluster.node(*id).await;
                node.image.as_ref().context("the node has no disk of its own")?.cut_power()?;
                node.process.kill().await?;
            }
            Ok(Deed::new(self.without.clone(), format!("no power for {}", named(&self.without))))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            for id in &self.without {
                let mut node = scene.cluster.node(*id).await;
                node.image.as_ref().context("the node has no disk of its own")?.restore_power()?;
                node.may_end = false;
                node.process.start()?;
            }
            Ok(Ending::new(!self.without.is_empty(), "power is back, and the nodes are started"))
        }
        .boxed()
    }
}
