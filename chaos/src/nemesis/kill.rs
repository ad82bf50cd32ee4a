//! `kill -9` of nodes.

use futures::FutureExt;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others, named};

/// Whom to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victims {
    Leader,
    Follower,
    Majority,
    All,
}

struct Kill {
    victims: Victims,
    killed: Vec<u64>,
    were_running: bool,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    let kill =
        |victims| Box::new(Kill { victims, killed: Vec::new(), were_running: false }) as Box<dyn Nemesis>;
    [Victims::Leader, Victims::Follower, Victims::Majority, Victims::All].into_iter().map(kill)
}

impl Victims {
    async fn choose(self, scene: &Scene, random: &mut StdRng) -> anyhow::Result<Vec<u64>> {
        let cluster = &scene.cluster;
        if self == Self::All {
            return Ok(cluster.ids());
        }
        let (leader, others) = leader_and_others(cluster).await?;
        Ok(match self {
            Self::Leader => vec![leader],
            Self::Follower => vec![draw(random, &others)],
            Self::Majority => cluster.ids().choose_multiple(random, cluster.majority()).copied().collect(),
            Self::All => cluster.ids(),
        })
    }
}

impl Nemesis for Kill {
    fn name(&self) -> &'static str {
        match self.victims {
            Victims::Leader => "kill-leader",
            Victims::Follower => "kill-follower",
            Victims::Majority => "kill-majority",
            Victims::All => "kill-all",
        }
    }

    fn explain(&self) -> &'static str {
        match self.victims {
            Victims::Leader => "kill -9 of the leading node",
            Victims::Follower => "kill -9 of one following node",
            Victims::Majority => "kill -9 of a random majority at once",
            Victims::All => "kill -9 of every node at once",
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Nodes
    }

    fn needs(&self) -> Needs {
        if self.victims == Victims::All { Needs::Nothing } else { Needs::Majority }
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            self.killed = self.victims.choose(scene, random).await?;
            let kill = |id: u64| async move {
                let mut node = scene.cluster.node(id).await;
                let was_running = node.process.is_running()?;
                node.process.kill().await?;
                anyhow::Ok(was_running)
            };
            let done = join_all(self.killed.iter().copied().map(kill)).await;
            let done = done.into_iter().collect::<anyhow::Result<Vec<bool>>>()?;
            self.were_running = done.into_iter().all(|was_running| was_running);
            Ok(Deed::new(self.killed.clone(), format!("kill -9 {}", named(&self.killed))))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            for id in std::mem::take(&mut self.killed) {
                scene.cluster.node(id).await.process.start()?;
            }
            Ok(Ending::new(self.were_running, "started again"))
        }
        .boxed()
    }
}
