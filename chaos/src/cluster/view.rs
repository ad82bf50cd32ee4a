//! What nodes say of themselves, asked directly: the harness sees past the faults that it makes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use futures::future::join_all;
use raftwork_api::cluster::{ClusterInfo, DigestInfo, MemberChange, NewMember, Transfer};
use raftwork_api::paths;
use raftwork_api::workers::WorkerList;
use serde::de::DeserializeOwned;

use super::members::Members;

/// How long a node may take: longer than a busy one needs, shorter than a fault lasts.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A hand-over waits for the other node.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(10);
/// A digest reads every row.
const DIGEST_PATIENCE: Duration = Duration::from_mins(1);

/// What one node says.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The node.
    pub(crate) node: u64,
    /// In its own words.
    pub(crate) info: ClusterInfo,
}

impl View {
    /// Whether it takes itself for the leader.
    pub(crate) fn leads(&self) -> bool {
        self.info.leader == Some(self.info.node)
    }
}

/// Asks nodes for what they say of themselves.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    http: reqwest::Client,
    urls: BTreeMap<u64, String>,
    members: Members,
}

impl Views {
    /// Of the nodes with these base URLs.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub(crate) fn new(
        urls: impl IntoIterator<Item = (u64, String)>,
        members: Members,
    ) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        Ok(Self { http, urls: urls.into_iter().collect(), members })
    }

    /// Whom it asks: the members.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.members.ids()
    }

    /// What every node that answers says.
    pub(crate) async fn all(&self) -> Vec<View> {
        let ask = |id| async move { Some(View { node: id, info: self.info(id).await? }) };
        join_all(self.ids().into_iter().map(ask)).await.into_iter().flatten().collect()
    }

    /// What one node says, member or not.
    pub(crate) async fn info(&self, id: u64) -> Option<ClusterInfo> {
        self.get(id, paths::CLUSTER, PATIENCE).await
    }

    /// The node that leads in the newest term, if one says so.
    pub(crate) async fn leader(&self) -> Option<View> {
        self.all().await.into_iter().filter(View::leads).max_by_key(|view| view.info.term)
    }

    /// Index of the last entry of a node's log.
    pub(crate) async fn last_log(&self, id: u64) -> Option<u64> {
        Some(self.info(id).await?.last_log)
    }

    /// Index of the last entry that a node has applied.
    pub(crate) async fn applied(&self, id: u64) -> Option<u64> {
        Some(self.info(id).await?.applied)
    }

    /// Whether a node can serve.
    pub(crate) async fn is_ready(&self, id: u64) -> bool {
        let url = format!("{}{}", self.urls[&id], paths::READYZ);
        let answer = self.http.get(url).timeout(PATIENCE).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Digest of a node's state.
    pub(crate) async fn digest(&self, id: u64) -> Option<DigestInfo> {
        self.get(id, paths::CLUSTER_DIGEST, DIGEST_PATIENCE).await
    }

    /// Asks node `leader` to hand the leadership to node `to`.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub(crate) async fn transfer(&self, leader: u64, to: u64) -> anyhow::Result<()> {
        let url = format!("{}{}", self.urls[&leader], paths::CLUSTER_TRANSFER);
        let body = Transfer { from: Some(leader), to: Some(to) };
        let answer = self.http.post(url).json(&body).timeout(TRANSFER_PATIENCE).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "node {leader} refuses to hand over: {status} {}", answer.text().await?);
        Ok(())
    }

    /// Asks node `leader` for a change of the membership, and tells how far it is.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub(crate) async fn add_member(&self, leader: u64, wish: &NewMember) -> anyhow::Result<MemberChange> {
        let url = format!("{}{}?wait=2s", self.urls[&leader], paths::CLUSTER_MEMBERS);
        let answer = self.http.post(url).json(wish).timeout(TRANSFER_PATIENCE).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "node {leader} answers {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Asks node `leader` to remove node `id`.
    ///
    /// # Errors
    /// When it refuses, or does not answer.
    pub(crate) async fn remove_member(&self, leader: u64, id: u64) -> anyhow::Result<()> {
        let path = paths::CLUSTER_MEMBER.replace("{node_id}", &id.to_string());
        let answer = self.http.delete(format!("{}{path}", self.urls[&leader]));
        let answer = answer.timeout(TRANSFER_PATIENCE).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "node {leader} answers {status} {}", answer.text().await?);
        Ok(())
    }

    /// Number of workers that the leader knows; none if there is no leader.
    pub(crate) async fn workers(&self) -> usize {
        let Some(leader) = self.leader().await else { return 0 };
        let list: Option<WorkerList> = self.get(leader.node, paths::WORKERS, PATIENCE).await;
        list.map_or(0, |list| list.workers.len())
    }

    async fn get<T: DeserializeOwned>(&self, id: u64, path: &str, patience: Duration) -> Option<T> {
        let url = format!("{}{path}", self.urls[&id]);
        let answer = self.http.get(url).timeout(patience).send().await.ok()?;
        serde_json::from_slice(&answer.error_for_status().ok()?.bytes().await.ok()?).ok()
    }
}
