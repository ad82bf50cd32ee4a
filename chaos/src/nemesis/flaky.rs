//! A bad network that is none the less there: everything late, or connections cut in the middle of a message.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;

use super::{Breaks, Deed, Ending, Nemesis, Scene, Step};
use crate::cluster::{Cluster, Party, Wire};

struct Flaky {
    cuts: bool,
    before: u64,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    [false, true].into_iter().map(|cuts| Box::new(Flaky { cuts, before: 0 }) as Box<dyn Nemesis>)
}

impl Flaky {
    fn effects(&self, cluster: &Cluster) -> u64 {
        let wires = cluster.wires();
        let counter = if self.cuts { &wires.cut } else { &wires.delayed };
        counter.load(Ordering::Relaxed)
    }
}

/// Changes what nodes say to one another, and what they and clients do.
fn change_all(cluster: &Cluster, change: impl Fn(&mut Wire)) {
    let parties: Vec<Party> = cluster.ids().into_iter().map(Party::Node).chain([Party::Clients]).collect();
    for (index, one) in parties.iter().enumerate() {
        for other in &parties[..index] {
            cluster.wires().change_both(*one, *other, &change);
        }
    }
}

impl Nemesis for Flaky {
    fn name(&self) -> &'static str {
        if self.cuts { "cut-frames" } else { "delay" }
    }

    fn explain(&self) -> &'static str {
        if self.cuts {
            "connections of nodes and clients are reset in the middle of a message"
        } else {
            "everything that nodes and clients say arrives 10 to 150 ms later, out of step"
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Network
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            self.before = self.effects(&scene.cluster);
            let detail = if self.cuts {
                let one_in = random.random_range(30..150);
                change_all(&scene.cluster, |wire| wire.cut_one_in = one_in);
                format!("one piece in {one_in} is cut")
            } else {
                let ms = random.random_range(20..100);
                change_all(&scene.cluster, |wire| wire.delay = Duration::from_millis(ms));
                format!("{ms} ms, more or less, are added to every piece")
            };
            Ok(Deed::new(scene.cluster.ids(), detail))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let effects = self.effects(&scene.cluster) - self.before;
            scene.cluster.wires().mend()?;
            Ok(Ending::new(effects > 0, format!("mended after {effects} of them")))
        }
        .boxed()
    }
}
