//! What the configuration means to the modules that it sets up.

use std::collections::BTreeMap;

use super::Config;
use crate::dispatch::Timings;
use crate::group::GroupSettings;
use crate::raft::RaftSettings;
use crate::raft::types::NodeId;

impl Config {
    /// For Raft.
    pub fn raft_settings(&self) -> RaftSettings {
        RaftSettings {
            heartbeat: self.raft.heartbeat.into(),
            election_min: self.raft.election_min.into(),
            election_max: self.raft.election_max.into(),
            snapshot_every: self.raft.snapshot_every,
            keep_entries: self.raft.keep_log,
            ..RaftSettings::default()
        }
    }

    /// For the group.
    pub fn group_settings(&self) -> GroupSettings {
        let timings = Timings {
            ttl: self.worker.lease_ttl.into(),
            heartbeat: self.worker.heartbeat.into(),
            start_deadline: self.worker.start_deadline.into(),
        };
        GroupSettings { timings, queued_max: self.limits.queued_max }
    }

    /// Where node `from` reaches others, if not where everybody does.
    pub fn routes_of(&self, from: NodeId) -> BTreeMap<NodeId, String> {
        let own = self.routes.iter().filter(|route| route.from == from);
        own.map(|route| (route.to, route.via.clone())).collect()
    }

    /// The nodes that found the cluster, and where each is reached.
    pub fn founders(&self) -> BTreeMap<NodeId, String> {
        self.nodes.iter().map(|node| (node.id, node.reached_at())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_file_says_arrives() {
        let text = "[cluster]\nname = \"dev\"\n[[node]]\nid = 2\naddr = \"0.0.0.0:7002\"\nadvertise = \"n2.example.com:7002\"\n\
                    data = \"n2\"\n[raft]\nheartbeat = \"50ms\"\nkeep_log = 7\n[worker]\nlease_ttl = \"5s\"\n";
        let config = Config::parse(text, Path::new("cluster.toml")).expect("the text is a configuration");
        assert_eq!(config.raft_settings().heartbeat, Duration::from_millis(50));
        assert_eq!(config.raft_settings().keep_entries, 7);
        assert_eq!(config.group_settings().timings.ttl, Duration::from_secs(5));
        assert_eq!(config.founders(), [(2, "n2.example.com:7002".to_owned())].into());
    }

    #[test]
    fn left_out_settings_are_those_of_the_modules() {
        let text = "[cluster]\nname = \"dev\"\n[[node]]\nid = 1\naddr = \"127.0.0.1:7001\"\ndata = \"n1\"\n";
        let config = Config::parse(text, Path::new("cluster.toml")).expect("the text is a configuration");
        assert_eq!(config.raft_settings(), RaftSettings::default());
    }
}
