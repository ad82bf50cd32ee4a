//! Crashes of nodes at named places of their code, one after the other: between a write and its fsync, in the middle of a
//! snapshot, after a commit and before the answer. Needs a daemon that was built with the feature `failpoints`.

use std::time::Duration;

use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::time::{Instant, sleep};

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others};

/// How long the load may take to bring a node to a place. To some it comes only when something else goes wrong.
const REACHED_WITHIN: Duration = Duration::from_secs(12);
/// Times that a node passes a busy place before it crashes there.
const PASSES_MAX: u32 = 40;
/// Places that a node comes to rarely: it crashes there the first time.
const RARE: [&str; 10] = [
    "vote.before_sync",
    "vote.after_sync",
    "truncate.mid",
    "purge.after_marker",
    "snap.before_checkpoint",
    "snap.after_checkpoint_before_rename",
    "snap.recv_mid_file",
    "snap.before_current_swap",
    "snap.after_current_swap",
    "lease.before_grant_reply",
];
/// Places to which only a leader comes.
const LEADERS: [&str; 4] =
    ["net.before_send_append", "propose.after_enqueue", "reply.before_send", "lease.before_grant_reply"];

#[derive(Default)]
pub(super) struct Failpoint {
    /// Places that have not had their turn in this round.
    bag: Vec<String>,
    outcome: Option<(u64, String, bool)>,
}

impl Failpoint {
    fn draw(&mut self, scene: &Scene, random: &mut StdRng) -> Option<String> {
        if self.bag.is_empty() {
            self.bag = scene.cluster.failpoints().to_vec();
            self.bag.shuffle(random);
        }
        self.bag.pop()
    }
}

/// Starts a node anew so that it crashes at a place, and waits until it has.
async fn crash(scene: &Scene, id: u64, setting: &str) -> anyhow::Result<bool> {
    let cluster = &scene.cluster;
    {
        let mut node = cluster.node(id).await;
        node.may_end = true;
        node.process.stop().await?;
        node.process.set_failpoints(Some(setting));
        node.process.start()?;
        // Whoever starts it again starts it whole.
        node.process.set_failpoints(None);
    }
    if LEADERS.iter().any(|place| setting.starts_with(place)) {
        cluster.await_serving(id, REACHED_WITHIN).await;
        if let Some(leader) = cluster.views().leader().await.filter(|view| view.node != id) {
            // It may crash while it takes over, which is what is wanted.
            drop(cluster.views().transfer(leader.node, id).await);
        }
    }
    let deadline = Instant::now() + REACHED_WITHIN;
    while Instant::now() < deadline {
        if cluster.node(id).await.process.exited()?.is_some() {
            return Ok(true);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok(false)
}

impl Nemesis for Failpoint {
    fn name(&self) -> &'static str {
        "failpoint"
    }

    fn explain(&self) -> &'static str {
        "a node crashes at a named place of its code, another one each time (needs raftworkd with failpoints)"
    }

    fn breaks(&self) -> Breaks {
        Breaks::Peace
    }

    fn needs(&self) -> Needs {
        Needs::Failpoints
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let (leader, others) = leader_and_others(&scene.cluster).await?;
            let place = self.draw(scene, random).unwrap_or_default();
            let leads = LEADERS.contains(&place.as_str());
            let id = if leads || others.is_empty() { leader } else { draw(random, &others) };
            let passes = if RARE.contains(&place.as_str()) { 0 } else { random.random_range(1..PASSES_MAX) };
            let setting =
                if passes == 0 { format!("{place}=return") } else { format!("{place}={passes}*off->return") };
            let crashed = crash(scene, id, &setting).await?;
            self.outcome = Some((id, place.clone(), crashed));
            Ok(Deed::new(vec![id], format!("node {id} is to crash at {setting}")))
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            let Some((id, place, crashed)) = self.outcome.take() else {
                return Ok(Ending::new(false, "no place was chosen"));
            };
            let mut node = scene.cluster.node(id).await;
            if !crashed {
                // It would crash there some other time.
                node.process.stop().await?;
            }
            node.process.start()?;
            node.may_end = false;
            let word = if crashed { "crashed at" } else { "never came to" };
            Ok(Ending::new(crashed, format!("node {id} {word} {place}")))
        }
        .boxed()
    }
}
