//! Nodes that come and go while the cluster runs: each on a folder that is empty when it comes.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use raftwork_api::cluster::{MemberState, NewMember};
use tokio::time::{Instant, sleep};

use super::node::serve;
use super::{Cluster, LOOK};

/// How long a change may take, with a snapshot and the death of a leader on the way.
const CHANGED_WITHIN: Duration = Duration::from_mins(1);
/// How long a removed node may take to hear of it, and to end.
const ENDED_WITHIN: Duration = Duration::from_secs(30);
/// Exit code of a node that was removed.
const REMOVED: i32 = 5;

impl Cluster {
    /// Takes the members from the leader: a change that went wrong may have been made all the same.
    ///
    /// # Errors
    /// When no node leads.
    pub(crate) async fn recount(&self) -> anyhow::Result<()> {
        self.leader().await?;
        let leader = self.views.leader().await.context("the leader has just gone")?;
        self.members.set(leader.info.nodes.iter().map(|node| node.id));
        Ok(())
    }

    /// A node that is no member, if there is one.
    pub(crate) fn spare(&self) -> Option<u64> {
        let members = self.members.ids();
        (1..=self.nodes.len() as u64).find(|id| !members.contains(id))
    }

    /// Starts a node that is no member with an empty folder.
    ///
    /// # Errors
    /// When it cannot be, or does not answer.
    pub(crate) async fn prepare(&self, id: u64) -> anyhow::Result<()> {
        {
            let mut node = self.node(id).await;
            node.process.kill().await?;
            if node.data.exists() {
                fs_err::remove_dir_all(&node.data)?;
            }
            let (file, join) = (format!("n{id}.toml"), self.urls().join(","));
            node.process.set_arguments(serve(&file, id).into_iter().chain(["--join".to_owned(), join]));
            node.heal()?;
        }
        let deadline = Instant::now() + ENDED_WITHIN;
        while self.views.info(id).await.is_none() {
            ensure!(Instant::now() < deadline, "node {id}, which is new, does not answer");
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Makes a node that was prepared a member, in the place of another if there is one; asks again and again, as people do.
    ///
    /// # Errors
    /// When it does not become one.
    pub(crate) async fn admit(&self, id: u64, replaces: Option<u64>) -> anyhow::Result<()> {
        let wish = NewMember { url: self.layout.door_url(id), replaces, force: false };
        let deadline = Instant::now() + CHANGED_WITHIN;
        // From now on, for it may lead before the answer is here.
        self.members.add(id);
        loop {
            let said = match self.views.leader().await {
                Some(leader) => self.views.add_member(leader.node, &wish).await,
                None => Err(anyhow::anyhow!("no node leads")),
            };
            match said {
                Ok(change) if change.state == MemberState::Member => break,
                Ok(_) => {}
                Err(error) => {
                    ensure!(Instant::now() < deadline, "node {id} does not become a member: {error:#}");
                    sleep(LOOK).await;
                }
            }
            ensure!(Instant::now() < deadline, "node {id} does not catch up within {CHANGED_WITHIN:?}");
        }
        match replaces {
            Some(old) => self.see_off(old).await,
            None => Ok(()),
        }
    }

    /// Removes a member.
    ///
    /// # Errors
    /// When it does not go.
    pub(crate) async fn dismiss(&self, id: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + CHANGED_WITHIN;
        loop {
            let Some(leader) = self.views.leader().await else {
                ensure!(Instant::now() < deadline, "no node leads");
                sleep(LOOK).await;
                continue;
            };
            match self.views.remove_member(leader.node, id).await {
                Ok(()) => break,
                Err(error) if Instant::now() > deadline => bail!("node {id} is not removed: {error:#}"),
                Err(_) => sleep(LOOK).await,
            }
        }
        self.see_off(id).await
    }

    /// A removed node that lives hears of it, and ends by itself.
    async fn see_off(&self, id: u64) -> anyhow::Result<()> {
        self.members.remove(id);
        let deadline = Instant::now() + ENDED_WITHIN;
        loop {
            let mut node = self.node(id).await;
            if !node.process.is_running()? {
                let status = node.process.exited()?;
                let ended = status.is_none_or(|status| status.code() == Some(REMOVED));
                ensure!(ended, "node {id} was removed, and ended otherwise: {status:?}");
                node.process.kill().await?;
                return Ok(());
            }
            if Instant::now() > deadline {
                node.process.kill().await.context("cannot kill it")?;
                bail!("node {id} was removed, and has not ended within {ENDED_WITHIN:?}");
            }
            drop(node);
            sleep(LOOK).await;
        }
    }
}
