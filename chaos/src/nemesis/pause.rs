//! `SIGSTOP` of a node: it keeps its connections, its leases and its opinion of who leads, and does nothing.

use futures::FutureExt;
use rand::rngs::StdRng;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others};

struct Pause {
    leader: bool,
    paused: Option<u64>,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    [true, false].into_iter().map(|leader| Box::new(Pause { leader, paused: None }) as Box<dyn Nemesis>)
}

impl Nemesis for Pause {
    fn name(&self) -> &'static str {
        if self.leader { "pause-leader" } else { "pause-follower" }
    }

    fn explain(&self) -> &'static str {
        if self.leader {
            "SIGSTOP of the leading node in the midst of reads, and SIGCONT after others have elected"
        } else {
            "SIGSTOP and SIGCONT of one following node"
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Nodes
    }

    fn needs(&self) -> Needs {
        Needs::Majority
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let (leader, others) = leader_and_others(&scene.cluster).await?;
            let id = if self.leader { leader } else { draw(random, &others) };
            scene.cluster.node(id).await.process.pause()?;
            self.paused = Some(id);
            Ok(Deed::new(vec![id], format!("SIGSTOP node {id}")))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let Some(id) = self.paused.take() else { return Ok(Ending::new(false, "nothing was paused")) };
            let mut node = scene.cluster.node(id).await;
            let happened = node.process.is_paused() && node.process.is_running()?;
            node.process.resume()?;
            Ok(Ending::new(happened, format!("SIGCONT node {id}")))
        }
        .boxed()
    }
}
