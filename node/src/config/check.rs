//! What must hold between the values of `cluster.toml`.

use std::collections::BTreeSet;

use super::{Config, NodeConfig, RouteConfig};

/// The first thing that makes no sense, with what to write instead.
pub(super) fn check(config: &Config) -> Result<(), String> {
    check_name(&config.cluster.name)?;
    check_nodes(&config.nodes)?;
    config.routes.iter().try_for_each(check_route)?;
    check_raft(config)?;
    check_worker(config)?;
    check_limits(config)
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!("[cluster] name = \"{name}\" must be 1 to 64 letters, digits, '-', '_' or '.'"))
}

fn check_nodes(nodes: &[NodeConfig]) -> Result<(), String> {
    if nodes.is_empty() {
        return Err("there is no [[node]]; write at least one, with id, addr and data".to_owned());
    }
    let (mut ids, mut places, mut folders) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for node in nodes {
        let id = node.id;
        if id == 0 || !ids.insert(id) {
            return Err(format!("[[node]] id = {id} must be 1 or more, and no two nodes may share one"));
        }
        check_place(node)?;
        if !places.insert(node.reached_at()) {
            return Err(format!("two [[node]] share the address {}; give each its own", node.reached_at()));
        }
        if !folders.insert(&node.data) {
            let data = node.data.display();
            return Err(format!("two [[node]] share the data folder {data}; give each its own"));
        }
    }
    Ok(())
}

fn check_place(node: &NodeConfig) -> Result<(), String> {
    let id = node.id;
    if node.addr.port() == 0 {
        return Err(format!("node {id}: addr = \"{}\" has port 0; others could not find it", node.addr));
    }
    match &node.advertise {
        None if node.addr.ip().is_unspecified() => Err(format!(
            "node {id} listens on every address ({}); say with advertise = \"host:port\" where others reach it",
            node.addr
        )),
        Some(advertise) if !is_host_and_port(advertise) => Err(format!(
            "node {id}: advertise = \"{advertise}\" must be host:port, as in \"node1.example.com:7001\""
        )),
        None | Some(_) => Ok(()),
    }
}

fn check_route(route: &RouteConfig) -> Result<(), String> {
    let RouteConfig { from, to, via } = route;
    if from == to {
        return Err(format!("[[route]] from = {from}, to = {to}: a node does not connect to itself"));
    }
    if !is_host_and_port(via) {
        return Err(format!("[[route]] via = \"{via}\" must be host:port, as in \"10.0.0.7:7001\""));
    }
    Ok(())
}

/// Whether the text is `host:port` and would stay so inside a URL.
fn is_host_and_port(text: &str) -> bool {
    let port_is_good = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_is_good = bare.map_or_else(
            || !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)),
            |bare| bare.parse::<std::net::Ipv6Addr>().is_ok(),
        );
        host_is_good && port_is_good(port)
    })
}

fn check_raft(config: &Config) -> Result<(), String> {
    let raft = &config.raft;
    if raft.heartbeat.0.0 == 0 {
        return Err("[raft] heartbeat must be longer than nothing".to_owned());
    }
    if raft.election_min.0.0 < 2 * raft.heartbeat.0.0 {
        return Err(format!(
            "[raft] election_min = {} must be at least twice heartbeat = {}, or every late heartbeat costs an election",
            raft.election_min, raft.heartbeat
        ));
    }
    if raft.election_max <= raft.election_min {
        return Err(format!(
            "[raft] election_max = {} must be longer than election_min = {}, or candidates collide",
            raft.election_max, raft.election_min
        ));
    }
    if raft.snapshot_every == 0 {
        return Err("[raft] snapshot_every must be 1 or more".to_owned());
    }
    Ok(())
}

fn check_worker(config: &Config) -> Result<(), String> {
    let worker = &config.worker;
    if worker.heartbeat.0.0 == 0 || worker.start_deadline.0.0 == 0 {
        return Err("[worker] heartbeat and start_deadline must be longer than nothing".to_owned());
    }
    if worker.lease_ttl.0.0 <= 2 * worker.heartbeat.0.0 {
        return Err(format!(
            "[worker] lease_ttl = {} must be longer than twice heartbeat = {}, or one lost heartbeat costs the leases",
            worker.lease_ttl, worker.heartbeat
        ));
    }
    Ok(())
}

fn check_limits(config: &Config) -> Result<(), String> {
    let limits = &config.limits;
    if limits.queued_max == 0 || limits.connections_max == 0 {
        return Err("[limits] queued_max and connections_max must be 1 or more".to_owned());
    }
    Ok(())
}
