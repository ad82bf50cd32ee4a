//! How a peer introduces itself when it asks for a stream, and who is let in.
//!
//! Addresses are reused: a node may reach another cluster's port, or an older version's. So the caller says whom it means,
//! and the called one refuses what is not meant for it, before a single vote is exchanged.

use http::{HeaderMap, HeaderName, HeaderValue};
use raftwork_api::stream::{ROLE_HEADER, ROLE_PEER};

use super::types::NodeId;

/// Version of what peers say to one another.
pub const VERSION: u32 = 1;

const CLUSTER: HeaderName = HeaderName::from_static("x-raftwork-cluster");
const TARGET: HeaderName = HeaderName::from_static("x-raftwork-target");
const SPEAKS: HeaderName = HeaderName::from_static("x-raftwork-peer-version");

/// Whom a peer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Name of the cluster.
    pub cluster: String,
    /// The node that is called.
    pub target: NodeId,
}

/// Why a peer is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// A header is missing or not what it should be.
    #[error("header {name} is missing or malformed")]
    Header {
        /// Its name.
        name: &'static str,
    },
    /// Another cluster is meant.
    #[error("this is a node of cluster {own:?}, but cluster {meant:?} is meant")]
    Cluster {
        /// The called node's.
        own: String,
        /// The caller's.
        meant: String,
    },
    /// Another node is meant.
    #[error("this is node {own}, but node {meant} is meant")]
    Node {
        /// The called node.
        own: NodeId,
        /// The one that is meant.
        meant: NodeId,
    },
    /// The two versions do not understand one another.
    #[error("this node speaks version {VERSION} to its peers, but the caller speaks {theirs}")]
    Version {
        /// The caller's version.
        theirs: u32,
    },
}

impl Hello {
    /// The headers that say it.
    ///
    /// # Panics
    /// If the cluster's name cannot stand in a header; the configuration allows no such name.
    pub fn headers(&self) -> HeaderMap {
        let cluster = HeaderValue::from_str(&self.cluster).expect("a cluster's name is printable ASCII");
        HeaderMap::from_iter([
            (HeaderName::from_static(ROLE_HEADER), HeaderValue::from_static(ROLE_PEER)),
            (CLUSTER, cluster),
            (TARGET, HeaderValue::from(self.target)),
            (SPEAKS, HeaderValue::from(VERSION)),
        ])
    }

    /// Lets a caller in that means this node.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), HelloError> {
        let theirs = value(headers, &SPEAKS, "x-raftwork-peer-version")?;
        if theirs != VERSION {
            return Err(HelloError::Version { theirs });
        }
        let meant: String = value(headers, &CLUSTER, "x-raftwork-cluster")?;
        if meant != self.cluster {
            return Err(HelloError::Cluster { own: self.cluster.clone(), meant });
        }
        let meant = value(headers, &TARGET, "x-raftwork-target")?;
        if meant == self.target { Ok(()) } else { Err(HelloError::Node { own: self.target, meant }) }
    }
}

fn value<T: std::str::FromStr>(
    headers: &HeaderMap,
    key: &HeaderName,
    name: &'static str,
) -> Result<T, HelloError> {
    let text = headers.get(key).and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).ok_or(HelloError::Header { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(cluster: &str, target: NodeId) -> Hello {
        Hello { cluster: cluster.to_owned(), target }
    }

    #[test]
    fn whoever_means_this_node_is_let_in() {
        assert_eq!(hello("main", 2).check(&hello("main", 2).headers()), Ok(()));
    }

    #[test]
    fn whoever_means_another_is_told_both() {
        let own = hello("main", 2);
        let errors =
            [hello("test", 2), hello("main", 3)].map(|other| own.check(&other.headers()).unwrap_err());
        assert_eq!(errors[0], HelloError::Cluster { own: "main".into(), meant: "test".into() });
        assert_eq!(errors[1], HelloError::Node { own: 2, meant: 3 });
        let mut headers = own.headers();
        headers.insert(SPEAKS, HeaderValue::from_static("7"));
        assert_eq!(own.check(&headers), Err(HelloError::Version { theirs: 7 }));
        headers.remove(SPEAKS);
        assert_eq!(own.check(&headers), Err(HelloError::Header { name: "x-raftwork-peer-version" }));
    }
}
