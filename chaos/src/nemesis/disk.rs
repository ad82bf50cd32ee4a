//! A disk that fails, is slow, or is full, under a process that was not told.

use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw};
use crate::cluster::Node;

/// How long it may take until a node asks its disk for something: it writes several times a second.
const ASKS_WITHIN: Duration = Duration::from_secs(15);
/// How long a node may go on after its disk has refused it for the first time. Whoever ends later has not ended for that.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(5);

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    SyncFails,
    SyncSlow,
    Full,
}

struct Disk {
    trouble: Trouble,
    node: u64,
    before: u32,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    let disk = |trouble| Box::new(Disk { trouble, node: 0, before: 0 }) as Box<dyn Nemesis>;
    [Trouble::SyncFails, Trouble::SyncSlow, Trouble::Full].into_iter().map(disk)
}

fn effects(node: &Node) -> anyhow::Result<u32> {
    Ok(node.levers.as_ref().context("there are no levers")?.effects()?)
}

impl Disk {
    fn pull(&self, node: &mut Node, random: &mut StdRng) -> anyhow::Result<String> {
        let id = node.id;
        let levers = node.levers.as_ref().context("there are no levers")?;
        let detail = match self.trouble {
            Trouble::SyncFails => {
                levers.set_sync_fails(true)?;
                format!("every fsync of node {id} fails with EIO")
            }
            Trouble::SyncSlow => {
                let ms = random.random_range(50..400);
                levers.set_sync_delay_ms(ms)?;
                format!("every fsync of node {id} takes {ms} ms longer")
            }
            Trouble::Full => {
                levers.set_disk_full(true)?;
                format!("the disk of node {id} is full")
            }
        };
        node.may_end = self.trouble != Trouble::SyncSlow;
        Ok(detail)
    }
}

impl Nemesis for Disk {
    fn name(&self) -> &'static str {
        match self.trouble {
            Trouble::SyncFails => "fsync-fails",
            Trouble::SyncSlow => "fsync-slow",
            Trouble::Full => "disk-full",
        }
    }

    fn explain(&self) -> &'static str {
        match self.trouble {
            Trouble::SyncFails => "fsync fails with EIO on one node, which must end and not go on",
            Trouble::SyncSlow => "fsync takes 50 to 400 ms longer on one node",
            Trouble::Full => "writes fail with ENOSPC on one node, which must end and not go on",
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Nodes
    }

    fn needs(&self) -> Needs {
        Needs::Levers
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            self.node = draw(random, &scene.cluster.ids());
            let mut node = scene.cluster.node(self.node).await;
            self.before = effects(&node)?;
            let detail = self.pull(&mut node, random)?;
            Ok(Deed::new(vec![self.node], detail))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let mut deadline = Instant::now() + ASKS_WITHIN;
            let mut refused = false;
            loop {
                let mut node = scene.cluster.node(self.node).await;
                let seen = effects(&node)? - self.before;
                if seen > 0 && !std::mem::replace(&mut refused, true) {
                    deadline = Instant::now() + GIVES_UP_WITHIN;
                }
                let ended = node.process.exited()?;
                let is_over = self.trouble == Trouble::SyncSlow || ended.is_some();
                if is_over || Instant::now() > deadline {
                    node.heal()?;
                    let goes_on = (!is_over && seen > 0).then(|| {
                        let id = self.node;
                        format!("node {id} goes on, although its disk refused it {seen} times in {GIVES_UP_WITHIN:?}")
                    });
                    let detail = match ended {
                        Some(status) => format!("the node ended ({status}); healed and started again"),
                        None => "healed".to_owned(),
                    };
                    let ending =
                        Ending::new(is_over && seen > 0, format!("{detail}; took effect {seen} times"));
                    return Ok(ending.with(goes_on));
                }
                drop(node);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        .boxed()
    }
}
