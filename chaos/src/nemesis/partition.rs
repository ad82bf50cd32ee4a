//! Partitions between nodes. Clients still reach every node, and so the wrong side, too.

use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others, named};
use crate::cluster::{Cluster, Party, both_ways};

/// Who cannot hear whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Full,
    Leader,
    Halves,
    OneWay,
    Bridge,
}

struct Partition {
    shape: Shape,
    held_before: u64,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    let shapes = [Shape::Full, Shape::Leader, Shape::Halves, Shape::OneWay, Shape::Bridge];
    shapes.into_iter().map(|shape| Box::new(Partition { shape, held_before: 0 }) as Box<dyn Nemesis>)
}

/// A shape, drawn: every pair of which the first is not heard by the second, and the story.
struct Drawn {
    unheard: Vec<(u64, u64)>,
    nodes: Vec<u64>,
    detail: String,
}

fn between(side: &[u64], other: &[u64]) -> Vec<(u64, u64)> {
    both_ways(side.iter().flat_map(|one| other.iter().map(|other| (*one, *other))))
}

impl Shape {
    async fn draw(self, cluster: &Cluster, random: &mut StdRng) -> anyhow::Result<Drawn> {
        let mut nodes = cluster.ids();
        if matches!(self, Self::Leader | Self::OneWay) {
            let (leader, others) = leader_and_others(cluster).await?;
            return Ok(self.around_the_leader(leader, &others, random));
        }
        nodes.shuffle(random);
        Ok(match self {
            Self::Full => {
                let unheard = nodes
                    .iter()
                    .flat_map(|from| nodes.iter().filter(move |to| *to != from).map(move |to| (*from, *to)));
                Drawn {
                    unheard: unheard.collect(),
                    detail: "no two nodes hear one another".to_owned(),
                    nodes,
                }
            }
            Self::Bridge => {
                let (bridge, rest) = (nodes[0], &nodes[1..]);
                let (one, other) = rest.split_at(rest.len() / 2);
                let detail = format!("{} and {} meet at node {bridge} alone", named(one), named(other));
                Drawn { unheard: between(one, other), nodes, detail }
            }
            Self::Halves | Self::Leader | Self::OneWay => {
                let (majority, minority) = nodes.split_at(cluster.majority());
                let detail = format!("{} | {}", named(majority), named(minority));
                Drawn { unheard: between(majority, minority), nodes: minority.to_vec(), detail }
            }
        })
    }

    fn around_the_leader(self, leader: u64, others: &[u64], random: &mut StdRng) -> Drawn {
        if self == Self::Leader {
            let detail = format!("node {leader}, which leads | {}", named(others));
            return Drawn { unheard: between(&[leader], others), nodes: vec![leader], detail };
        }
        // One direction of some links of a node, the leader as a rule: the case that a connection check misses.
        let deaf = if random.random_bool(0.7) { leader } else { draw(random, others) };
        let rest = others.iter().copied().chain([leader]).filter(|id| *id != deaf);
        let (unheard, detail): (Vec<_>, _) = if random.random_bool(0.5) {
            (rest.map(|other| (deaf, other)).collect(), format!("node {deaf} hears and is not heard"))
        } else {
            (rest.map(|other| (other, deaf)).collect(), format!("node {deaf} is heard and does not hear"))
        };
        Drawn { unheard, nodes: vec![deaf], detail }
    }
}

impl Nemesis for Partition {
    fn name(&self) -> &'static str {
        match self.shape {
            Shape::Full => "partition-full",
            Shape::Leader => "partition-leader",
            Shape::Halves => "partition-halves",
            Shape::OneWay => "partition-one-way",
            Shape::Bridge => "partition-bridge",
        }
    }

    fn explain(&self) -> &'static str {
        match self.shape {
            Shape::Full => "no two nodes hear one another",
            Shape::Leader => "the leader hears no other node, and no other node hears it",
            Shape::Halves => "a random majority and the rest do not hear one another",
            Shape::OneWay => "one node is heard and does not hear, or the other way round",
            Shape::Bridge => "two sides hear one node, and not each other",
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Network
    }

    fn needs(&self) -> Needs {
        Needs::Majority
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let drawn = self.shape.draw(&scene.cluster, random).await?;
            let wires = scene.cluster.wires();
            self.held_before = wires.held()?;
            let unheard = drawn.unheard.into_iter().map(|(from, to)| (Party::Node(from), Party::Node(to)));
            wires.shut(&unheard.collect::<Vec<_>>())?;
            Ok(Deed::new(drawn.nodes, drawn.detail))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let wires = scene.cluster.wires();
            let held = wires.held()? - self.held_before;
            wires.mend()?;
            Ok(Ending::new(held > 0, format!("healed; {held} pieces had not passed")))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sides_are_cut_both_ways() {
        assert_eq!(between(&[1], &[2, 3]), [(1, 2), (2, 1), (1, 3), (3, 1)]);
    }
}
