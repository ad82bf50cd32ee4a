//! What a person can get wrong in `cluster.toml`, and what they are told.

use std::path::Path;

use super::*;

const GOOD: &str =
    "[cluster]\nname = \"dev\"\n\n[[node]]\nid = 1\naddr = \"127.0.0.1:7001\"\ndata = \"n1\"\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/raftwork/cluster.toml"))
}

fn complaint(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn the_smallest_file_gets_the_defaults() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.nodes[0].url(), "http://127.0.0.1:7001");
    assert_eq!(config.nodes[0].data, Path::new("/etc/raftwork/n1"));
    assert_eq!(config.worker.lease_ttl.to_string(), "10s");
    assert!(!config.nodes[0].is_exposed());
    assert_eq!(config.limits.queued_max, 5_000_000);
    assert!(!config.rest.lenient_register);
}

#[test]
fn every_key_can_be_set() {
    let text = format!(
        "{GOOD}advertise = \"node1.example.com:7001\"\n[raft]\nheartbeat = \"50ms\"\nelection_min = \"200ms\"\n\
         election_max = \"400ms\"\nsnapshot_every = 10\nkeep_log = 5\n[worker]\nlease_ttl = \"3s\"\nheartbeat = \"500ms\"\n\
         start_deadline = \"1s\"\n[limits]\nqueued_max = 10\nconnections_max = 12\n[rest]\nlenient_register = true\n"
    );
    let config = parse(&text).unwrap();
    assert_eq!(config.nodes[0].reached_at(), "node1.example.com:7001");
    assert_eq!(config.raft.election_max.to_string(), "400ms");
    assert_eq!(config.limits.connections_max, 12);
    assert!(config.rest.lenient_register);
}

#[test]
fn a_route_is_for_one_pair_of_nodes_and_must_make_sense() {
    let config = parse(&format!("{GOOD}[[route]]\nfrom = 1\nto = 2\nvia = \"10.0.0.2:7001\"\n")).unwrap();
    assert_eq!(config.routes_of(1), [(2, "10.0.0.2:7001".to_owned())].into());
    assert_eq!(config.routes_of(2), [].into());
    for (route, part) in
        [("to = 1\nvia = \"h:1\"", "to itself"), ("to = 2\nvia = \"h\"", "must be host:port")]
    {
        let text = complaint(&format!("{GOOD}[[route]]\nfrom = 1\n{route}\n"));
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_absolute_data_folder_stays() {
    let config = parse(&GOOD.replace("\"n1\"", "\"/var/lib/raftwork\"")).unwrap();
    assert_eq!(config.nodes[0].data, Path::new("/var/lib/raftwork"));
}

#[test]
fn a_typo_is_named_with_its_place_and_the_nearest_key() {
    let text = complaint(&GOOD.replace("data =", "dtaa ="));
    for part in ["cluster.toml", "line 7, column 1", "dtaa", "did you mean `data`?"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let text = complaint(&format!("{GOOD}[worker]\nheartbeet = \"1s\"\n"));
    assert!(text.contains("line 9") && text.contains("did you mean `heartbeat`?"), "{text}");
}

#[test]
fn a_bad_value_is_named_with_its_place() {
    for (bad, line, part) in [
        (GOOD.replace("127.0.0.1:7001", "localhost"), "line 6", "socket address"),
        (format!("{GOOD}[raft]\nheartbeat = \"soon\"\n"), "line 9", "write 250ms, 30s"),
        (GOOD.replace("id = 1", "id = \"one\""), "line 5", "expected u64"),
        (GOOD.replace("[cluster]", "[cluster"), "line 1", "unclosed table"),
    ] {
        let text = complaint(&bad);
        assert!(text.contains(line) && text.contains(part), "{line} or {part} is not in: {text}");
    }
}

#[test]
fn what_makes_no_sense_together_is_explained() {
    let second = "[[node]]\nid = 2\naddr = \"127.0.0.1:7002\"\ndata = \"n2\"\n";
    for (bad, part) in [
        (format!("{GOOD}{}", second.replace("id = 2", "id = 1")), "no two nodes may share"),
        (format!("{GOOD}{}", second.replace("7002", "7001")), "share the address"),
        (format!("{GOOD}{}", second.replace("n2", "n1")), "share the data folder"),
        (GOOD.replace("127.0.0.1:7001", "0.0.0.0:7001"), "advertise"),
        (GOOD.replace("7001", "0"), "port 0"),
        (format!("{GOOD}advertise = \"http://here\"\n"), "must be host:port"),
        (GOOD.replace("\"dev\"", "\"my cluster\""), "letters, digits"),
        (format!("{GOOD}[worker]\nlease_ttl = \"4s\"\n"), "longer than twice heartbeat"),
        (format!("{GOOD}[raft]\nelection_min = \"200ms\"\n"), "at least twice heartbeat"),
        (format!("{GOOD}[raft]\nelection_max = \"450ms\"\n"), "candidates collide"),
        (format!("{GOOD}[limits]\nconnections_max = 0\n"), "1 or more"),
    ] {
        let text = complaint(&bad);
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

#[test]
fn an_unknown_node_is_told_which_there_are() {
    let config = parse(GOOD).unwrap();
    let text = config.node(4, Path::new("cluster.toml")).unwrap_err().to_string();
    assert_eq!(text, "cluster.toml has no [[node]] with id = 4; it has 1");
}
