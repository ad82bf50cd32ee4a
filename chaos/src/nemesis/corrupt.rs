//! Damage to the files of one stopped node. It must refuse to start, or be none the worse for it.
//!
//! One node at a time, and nothing else meanwhile: a damage that no single node can tell from a torn last write (the end of
//! the write-ahead log) is what the others are for. Files that are never changed once written (tables, snapshots) get their
//! good bytes back afterwards; a refused node gets back the file for whose damage it was refused.
//!
//! A node that starts must know of every entry that it had applied, unless the damage looks like a torn end. It is asked
//! before it hears anything from the others, who would tell it.

use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::Instant;

use super::{Breaks, Deed, Ending, Needs, Nemesis, Scene, Step, draw, leader_and_others, set_deaf};
use crate::cluster::Cluster;

/// How long a node may take to open what it has, or to refuse it.
const START_WITHIN: Duration = Duration::from_mins(1);
/// How long it may then take to know its log again, alone.
const KNOWS_WITHIN: Duration = Duration::from_secs(3);
/// Exit code of a node that refuses its data folder.
const REFUSED: i32 = 3;

/// Which kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Wal,
    Table,
    Manifest,
    Snapshot,
}

/// What is done to it.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flip { at: u64, bit: u8 },
    Truncate { keep: u64 },
    Delete,
}

/// A file that was damaged, and how to undo it.
struct Damaged {
    node: u64,
    path: PathBuf,
    /// The file itself, whatever it is called by now: a snapshot's are those of the rows, by other names.
    file: std::fs::File,
    good: Vec<u8>,
    what: String,
    /// Whether it could pass for a last write that a power failure tore.
    passes_for_torn: bool,
}

struct Corrupt {
    target: Target,
    damaged: Option<Damaged>,
    outcome: String,
    judged: bool,
    broken: Option<String>,
}

pub(super) fn all() -> impl Iterator<Item = Box<dyn Nemesis>> {
    let corrupt = |target| {
        let outcome = String::new();
        Box::new(Corrupt { target, damaged: None, outcome, judged: false, broken: None }) as Box<dyn Nemesis>
    };
    [Target::Wal, Target::Table, Target::Manifest, Target::Snapshot].into_iter().map(corrupt)
}

impl Target {
    fn fits(self, path: &Path) -> bool {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_below = |folder: &str| path.components().any(|part| part.as_os_str() == folder);
        match self {
            Self::Wal => extension == "log" && is_below("log"),
            Self::Table => extension == "sst" && !is_below("snap"),
            Self::Manifest => name.starts_with("MANIFEST-") && !is_below("snap"),
            Self::Snapshot => is_below("snap"),
        }
    }

    /// What may be done to a file of this kind of `length` bytes.
    fn damage(self, length: u64, random: &mut StdRng) -> Damage {
        let flip = Damage::Flip { at: random.random_range(0..length), bit: random.random_range(0..8) };
        match random.random_range(0..4) {
            // Cutting off its end is what a power failure does to a log by right.
            0 if self != Self::Wal => Damage::Truncate { keep: random.random_range(0..length) },
            1 => Damage::Delete,
            _ => flip,
        }
    }

    /// Whether files of this kind are never changed once they are written.
    const fn is_immutable(self) -> bool {
        matches!(self, Self::Table | Self::Snapshot)
    }
}

impl Damage {
    fn inflict(self, path: &Path) -> anyhow::Result<()> {
        let open = || fs_err::OpenOptions::new().read(true).write(true).open(path);
        match self {
            Self::Flip { at, bit } => {
                let file = open()?.into_file();
                let mut byte = [0];
                file.read_exact_at(&mut byte, at)?;
                file.write_all_at(&[byte[0] ^ (1 << bit)], at)?;
            }
            Self::Truncate { keep } => open()?.set_len(keep)?,
            Self::Delete => fs_err::remove_file(path)?,
        }
        Ok(())
    }

    /// Whether what is read up to the damage could be all that was ever written. The last quarter is no proof.
    const fn passes_for_torn(self, length: u64) -> bool {
        match self {
            Self::Flip { at, .. } => at > length / 4 * 3,
            Self::Truncate { .. } => true,
            Self::Delete => false,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Flip { at, bit } => format!("bit {bit} of byte {at} is flipped in"),
            Self::Truncate { keep } => format!("only {keep} bytes are kept of"),
            Self::Delete => "deleted:".to_owned(),
        }
    }
}

/// Every file below `folder` that has something in it.
fn files_below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            found.extend(files_below(&entry.path())?);
        } else if kind.is_file() && entry.metadata()?.len() > 0 {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Makes a file that outlives a power failure: the next fault may be one, and what is given back must not be lost by it.
fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs_err::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs_err::File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
}

impl Corrupt {
    /// Damages one file of a stopped node.
    fn damage(&self, data: &Path, node: u64, random: &mut StdRng) -> anyhow::Result<Damaged> {
        let files: Vec<PathBuf> =
            files_below(data)?.into_iter().filter(|path| self.target.fits(path)).collect();
        let path = files.choose(random).with_context(|| format!("node {node} has no such file yet"))?.clone();
        let good = fs_err::read(&path)?;
        let file = fs_err::OpenOptions::new().write(true).open(&path)?.into_file();
        let damage = self.target.damage(good.len() as u64, random);
        damage.inflict(&path)?;
        let name = path.strip_prefix(data).unwrap_or(&path).display().to_string();
        let what = format!("node {node}: {} {name} ({} bytes)", damage.words(), good.len());
        let passes_for_torn = damage.passes_for_torn(good.len() as u64);
        Ok(Damaged { node, path, file, good, what, passes_for_torn })
    }

    /// Starts the damaged node and waits for what it makes of it: all of its state is read, too.
    async fn judge(&mut self, cluster: &Cluster, id: u64, applied: u64) -> anyhow::Result<(bool, String)> {
        let deadline = Instant::now() + START_WITHIN;
        set_deaf(cluster, id, true)?;
        cluster.node(id).await.process.start()?;
        let alone_until = Instant::now() + KNOWS_WITHIN;
        let mut alone = true;
        loop {
            if let Some(status) = cluster.node(id).await.process.exited()? {
                set_deaf(cluster, id, false)?;
                let word = if status.code() == Some(REFUSED) { "refused" } else { "ended" };
                return Ok((true, format!("{word} ({status})")));
            }
            if alone && let Some(knows) = cluster.views().last_log(id).await {
                alone = knows < applied && Instant::now() < alone_until;
                if !alone {
                    set_deaf(cluster, id, false)?;
                    self.broken = self.forgotten(id, knows, applied);
                }
            }
            if cluster.views().is_ready(id).await && cluster.views().digest(id).await.is_some() {
                return Ok((true, "harmless: it serves".to_owned()));
            }
            if Instant::now() > deadline {
                set_deaf(cluster, id, false)?;
                let outcome = format!("neither serves nor ends within {START_WITHIN:?}");
                self.broken = Some(format!("node {id} {outcome}"));
                return Ok((true, outcome));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What is wrong if a node knows of less than it had applied.
    fn forgotten(&self, id: u64, knows: u64, applied: u64) -> Option<String> {
        let passes_for_torn = self.damaged.as_ref().is_none_or(|damaged| damaged.passes_for_torn);
        (knows < applied && !passes_for_torn).then(|| {
            format!("node {id} had applied entry {applied}, and serves with a log that ends at {knows}")
        })
    }

    /// Gives the node back what was taken, where that is safe: before it took part again, or where it is never changed.
    async fn undo(&self, cluster: &Cluster, damaged: Damaged) -> anyhow::Result<()> {
        let mut node = cluster.node(damaged.node).await;
        let Damaged { path, file, good, .. } = damaged;
        let takes_part = node.process.is_running()?;
        if !takes_part || self.target.is_immutable() {
            // In place: the node may have the file open.
            file.set_len(good.len() as u64)?;
            file.write_all_at(&good, 0)?;
            file.sync_all()?;
            if !path.exists() && path.parent().is_some_and(Path::exists) {
                write_durably(&path, &good)?;
            }
        }
        node.process.start()
    }
}

impl Nemesis for Corrupt {
    fn name(&self) -> &'static str {
        match self.target {
            Target::Wal => "corrupt-wal",
            Target::Table => "corrupt-sst",
            Target::Manifest => "corrupt-manifest",
            Target::Snapshot => "corrupt-snapshot",
        }
    }

    fn explain(&self) -> &'static str {
        match self.target {
            Target::Wal => "a flipped bit in, or the loss of, a write-ahead log of one stopped node",
            Target::Table => "a flipped bit in, or the loss of part of, a table file of one stopped node",
            Target::Manifest => "a flipped bit in, or the loss of part of, a manifest of one stopped node",
            Target::Snapshot => "a flipped bit in, or the loss of part of, a snapshot of one stopped node",
        }
    }

    fn breaks(&self) -> Breaks {
        Breaks::Peace
    }

    fn needs(&self) -> Needs {
        Needs::Majority
    }

    fn start<'a>(&'a mut self, scene: &'a Scene, random: &'a mut StdRng) -> Step<'a, Deed> {
        async move {
            let cluster = &scene.cluster;
            let (_, followers) = leader_and_others(cluster).await?;
            let id = draw(random, &followers);
            let applied = cluster.views().applied(id).await.context("the node is silent")?;
            let mut node = cluster.node(id).await;
            node.may_end = true;
            node.process.kill().await?;
            let data = node.data.clone();
            drop(node);
            match self.damage(&data, id, random) {
                Ok(damaged) => {
                    let what = damaged.what.clone();
                    self.damaged = Some(damaged);
                    (self.judged, self.outcome) = self.judge(cluster, id, applied).await?;
                    Ok(Deed::new(vec![id], what))
                }
                Err(error) => {
                    cluster.node(id).await.process.start()?;
                    (self.judged, self.outcome) = (false, format!("{error:#}"));
                    Ok(Deed::new(vec![id], self.outcome.clone()))
                }
            }
        }
        .boxed()
    }

    fn stop<'a>(&'a mut self, scene: &'a Scene) -> Step<'a, Ending> {
        async move {
            if let Some(damaged) = self.damaged.take() {
                self.undo(&scene.cluster, damaged).await?;
            }
            Ok(Ending::new(self.judged, std::mem::take(&mut self.outcome)).with(self.broken.take()))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn files_are_told_apart_by_where_and_what_they_are() {
        for (path, target) in [
            ("data/log/000012.log", Target::Wal),
            ("data/log/000013.sst", Target::Table),
            ("data/sm-1/000014.sst", Target::Table),
            ("data/sm-1/MANIFEST-000005", Target::Manifest),
            ("data/snap/77-1/000014.sst", Target::Snapshot),
        ] {
            for kind in [Target::Wal, Target::Table, Target::Manifest, Target::Snapshot] {
                assert_eq!(kind.fits(Path::new(path)), kind == target, "{path}: {kind:?}");
            }
        }
    }

    #[test]
    fn every_damage_changes_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("000001.sst");
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..50 {
            fs_err::write(&path, [7; 100]).unwrap();
            Target::Table.damage(100, &mut random).inflict(&path).unwrap();
            assert_ne!(fs_err::read(&path).unwrap_or_default(), [7; 100]);
        }
    }
}
