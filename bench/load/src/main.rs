//! One client that keeps a number of durable writes under way, and measures how long each takes to be acknowledged.
//!
//! The same loop for every system, so that what differs is the system: [`measure`] runs as many lanes as the command
//! line asks for, each of which sends its next write when its last one was acknowledged. Prints one line of JSON.

mod etcd;
mod measure;
mod nats;
mod rest;
mod submit;

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use raftwork_api::kernel::PythonVersion;

use crate::measure::Plan;

/// Durable writes per second, and how long each takes, of a chosen system.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    system: System,
}

#[derive(Debug, Subcommand)]
enum System {
    /// Puts into etcd over gRPC.
    Etcd {
        /// Base URLs of the members that are written to, with commas.
        #[arg(long, value_delimiter = ',', required = true)]
        urls: Vec<String>,
        /// gRPC connections that the writes share.
        #[arg(long, default_value_t = 8)]
        connections: usize,
        #[command(flatten)]
        load: Load,
    },
    /// Publishes into a stream of NATS with three replicas on disk.
    Nats {
        /// Addresses of the servers, with commas.
        #[arg(long, value_delimiter = ',', required = true)]
        urls: Vec<String>,
        /// Copies of the stream.
        #[arg(long, default_value_t = 3)]
        replicas: usize,
        #[command(flatten)]
        load: Load,
    },
    /// Submits batches of tasks to Raftwork over the framed stream, as its SDKs do.
    Submit {
        /// Base URLs of the nodes, with commas.
        #[arg(long, value_delimiter = ',', required = true)]
        urls: Vec<String>,
        /// Tasks in one submit.
        #[arg(long, default_value_t = 1)]
        batch: usize,
        /// Submit a pickled function that only workers with this Python run, such as 3.8; else any worker may.
        #[arg(long)]
        python: Option<PythonVersion>,
        #[command(flatten)]
        load: Load,
    },
    /// Submits tasks to Raftwork by one HTTP request each, each lane on its own keep-alive connection.
    Rest {
        /// Base URL of one node.
        #[arg(long)]
        url: String,
        /// Use the course contract (`POST /execute_function`) and not `POST /v1/tasks`.
        #[arg(long)]
        course: bool,
        #[command(flatten)]
        load: Load,
    },
}

/// How much is asked, and for how long.
#[derive(Debug, Args)]
struct Load {
    /// Writes under way at a time.
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Bytes in each value or argument.
    #[arg(long, default_value_t = 256)]
    bytes: usize,
    /// How long to measure, at most.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Writes to make in all (default: as many as there is time for).
    #[arg(long)]
    writes: Option<usize>,
    /// How long to write before that without counting.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
}

impl Load {
    fn plan(&self) -> Plan {
        Plan {
            lanes: self.in_flight.max(1),
            warm_up: Duration::from_secs_f64(self.warm_up),
            measured: Duration::from_secs_f64(self.seconds),
            writes: self.writes,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let measured = match Arguments::parse().system {
        System::Etcd { urls, connections, load } => {
            let writers = etcd::writers(&urls, connections, load.in_flight, load.bytes)?;
            measure::run(load.plan(), writers, 1).await
        }
        System::Nats { urls, replicas, load } => {
            let writers = nats::writers(&urls, replicas, load.in_flight, load.bytes).await?;
            measure::run(load.plan(), writers, 1).await
        }
        System::Submit { urls, batch, python, load } => {
            let writers = submit::writers(&urls, batch, python, load.in_flight, load.bytes).await?;
            measure::run(load.plan(), writers, batch).await
        }
        System::Rest { url, course, load } => {
            let writers = rest::writers(&url, course, load.in_flight, load.bytes).await?;
            measure::run(load.plan(), writers, 1).await
        }
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}
