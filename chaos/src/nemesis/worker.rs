//! Workers that die, pause, or are cut off.

use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step};
use crate::cluster::{Party, both_ways};

/// What happens to workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    Paused,
    CutOff,
}

struct Worker {
    fate: Fate,
    victims: Vec<usize>,
    held_before: u64,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    let worker = |fate| Box::new(Worker { fate, victims: Vec::new(), held_before: 0 }) as Box<dyn Nemesis>;
    [Fate::Killed, Fate::Paused, Fate::CutOff].into_iter().map(worker)
}

fn between_workers_and_nodes(scene: &Scene) -> Vec<(Party, Party)> {
    both_ways(scene.cluster.ids().into_iter().map(|id| (Party::Workers, Party::Node(id))))
}

impl Nemesis for Worker {
    fn name(&self) -> &'static str {
        match self.fate {
            Fate::Killed => "worker-kill",
            Fate::Paused => "worker-pause",
            Fate::CutOff => "worker-partition",
        }
    }

    fn explain(&self) -> &'static str {
        match self.fate {
            Fate::Killed => "kill -9 of some Python workers, or all",
            Fate::Paused => "SIGSTOP of some Python workers, or all, and SIGCONT",
            Fate::CutOff => "Python workers and nodes do not hear one another",
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Workers
    }

    fn needs(&self) -> Needs {
        Needs::Workers
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let wires = scene.cluster.wires();
            if self.fate == Fate::CutOff {
                self.held_before = wires.held()?;
                wires.shut(&between_workers_and_nodes(scene))?;
                return Ok(Deed::new(Vec::new(), "workers | nodes"));
            }
            let count = random.random_range(1..=scene.workers.len());
            self.victims = rand::seq::index::sample(random, scene.workers.len(), count).into_vec();
            let mut names = Vec::new();
            for index in &self.victims {
                let mut worker = scene.workers.worker(*index).await;
                names.push(worker.name().to_owned());
                match self.fate {
                    Fate::Killed => worker.kill().await?,
                    Fate::Paused | Fate::CutOff => worker.pause()?,
                }
            }
            let word = if self.fate == Fate::Killed { "kill -9" } else { "SIGSTOP" };
            Ok(Deed::new(Vec::new(), format!("{word} {}", names.join(", "))))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            if self.fate == Fate::CutOff {
                let wires = scene.cluster.wires();
                let held = wires.held()? - self.held_before;
                wires.open(&between_workers_and_nodes(scene))?;
                return Ok(Ending::new(held > 0, format!("healed; {held} pieces had not passed")));
            }
            let victims = std::mem::take(&mut self.victims);
            for index in &victims {
                let mut worker = scene.workers.worker(*index).await;
                worker.resume()?;
                worker.start()?;
            }
            Ok(Ending::new(!victims.is_empty(), "they run again"))
        }
        .boxed()
    }
}
