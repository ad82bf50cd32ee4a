//! A disk whose crashes can be commanded: what was not made durable is lost, in part or whole.
//!
//! The log's database is one ordered stream of batches, as a write-ahead log is: a crash keeps everything durable and any
//! prefix of the rest, for the system may have written it out by itself; the batch that the crash tears is none. The
//! rows' database has no such log: a crash throws it back to its last flush, which may come at any time.

mod table;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::BoxFuture;
use raftwork_node::store::disk::{Batch, Database, Disk, Error, RawRow, Reads, Scan};

use self::table::{Key, Op, Table};
use crate::chance::Chance;

/// A copy of a database is one file of this name, so that a snapshot's code links it as it does RocksDB's tables.
const COPY: &str = "copy.sst";
/// Out of a thousand writes of rows, one of these many flush: with so few rows, memory would never fill up by itself.
const FLUSH_PERMILLE: [u64; 4] = [0, 5, 5, 100];

/// A family, a key and its new value, or none if it was removed.
pub(crate) type Change = (String, Vec<u8>, Option<Vec<u8>>);

/// Is told of every batch of rows that a node writes.
pub(crate) trait Watch: Send + Sync {
    /// The changes, in order.
    fn rows_written(&self, changes: &[Change]);
}

/// One node's disk; a clone is another handle on it.
#[derive(Clone)]
pub(crate) struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    watch: Arc<dyn Watch>,
}

struct State {
    databases: BTreeMap<PathBuf, Table>,
    /// What was there when the folder was exchanged for an empty one.
    aside: Option<BTreeMap<PathBuf, Table>>,
    chance: Chance,
    /// How long a sync takes.
    sync: Duration,
    /// Whether syncs take their time: not before the log's flushing runs.
    timed: bool,
    /// Out of a thousand writes of rows, so many flush.
    flush_permille: u64,
}

impl SimDisk {
    pub(crate) fn new(mut chance: Chance, watch: Arc<dyn Watch>) -> Self {
        let sync = Duration::from_millis(2);
        let flush_permille = chance.pick(&FLUSH_PERMILLE).unwrap_or(0);
        let databases = BTreeMap::new();
        let state = State { databases, aside: None, chance, sync, timed: false, flush_permille };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), watch }) }
    }

    /// The power goes, or the process is killed. Nobody may have a database open any more.
    pub(crate) fn crash(&self) {
        let mut state = self.lock();
        let State { databases, chance, timed, .. } = &mut *state;
        *timed = false;
        for (path, table) in databases.iter_mut() {
            let unsynced = table.unsynced() as u64;
            let kept = if is_log(path) { chance.within(0..unsynced + 1) } else { 0 };
            table.crash(usize::try_from(kept).unwrap_or(0));
        }
    }

    /// The folder of its databases is exchanged for an empty one, after a crash.
    pub(crate) fn put_aside(&self) {
        let mut state = self.lock();
        state.aside = Some(std::mem::take(&mut state.databases));
    }

    /// The folder that was put aside is back, and whatever was there instead is gone.
    pub(crate) fn bring_back(&self) {
        let mut state = self.lock();
        state.databases = state.aside.take().unwrap_or_default();
    }

    /// Index of the last entry of the log that a crash now would leave, in the folder that is this node's by right.
    pub(crate) fn durable_log_end(&self) -> Option<u64> {
        let state = self.lock();
        let databases = state.aside.as_ref().unwrap_or(&state.databases);
        let (_, table) = databases.iter().find(|(path, _)| is_log(path))?;
        Some(u64::from_be_bytes(table.durable_end("logs")?.try_into().ok()?))
    }

    /// How long a sync takes from now on.
    pub(crate) fn set_sync(&self, sync: Duration) {
        self.lock().sync = sync;
    }

    /// Flushes rows now and then, whatever the log is doing.
    fn flush_now_and_then(&self, rows: &Path) {
        let mut state = self.lock();
        let flush_permille = state.flush_permille;
        if state.chance.permille(flush_permille) {
            let table = state.databases.get_mut(rows).expect("an open database is there");
            table.make_durable(table.unsynced());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database(&self, path: &Path) -> Box<dyn Database> {
        Box::new(SimDatabase { disk: self.clone(), path: path.to_owned() })
    }

    /// Opens what is there, be it from before the crash or the copy that a snapshot put there.
    fn open(&self, path: &Path) -> Box<dyn Database> {
        let mut state = self.lock();
        if !path.exists() {
            state.databases.remove(path);
            std::fs::create_dir_all(path).expect("the simulation has a folder to work in");
        }
        if !state.databases.contains_key(path) {
            let copy = std::fs::read(path.join(COPY)).ok();
            let table = copy.map_or_else(Table::default, |bytes| Table::decode(&bytes));
            state.databases.insert(path.to_owned(), table);
        }
        drop(state);
        self.database(path)
    }
}

fn is_log(path: &Path) -> bool {
    path.ends_with("log")
}

impl Disk for SimDisk {
    /// What is not there is made by whoever opens it.
    fn holds(&self, _dir: &Path) -> bool {
        true
    }

    fn read_log(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        Ok(self.open(dir))
    }

    fn open_log(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        Ok(self.open(dir))
    }

    fn open_rows(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        Ok(self.open(dir))
    }

    fn read_rows(&self, dir: &Path) -> Result<Box<dyn Database>, Error> {
        let database = self.open(dir);
        Ok(database)
    }

    /// As a task of the node's runtime, so that it happens in simulated time.
    fn run_flushing(&self, flushing: BoxFuture<'static, ()>) -> io::Result<Option<JoinHandle<()>>> {
        self.lock().timed = true;
        tokio::spawn(flushing);
        Ok(None)
    }
}

struct SimDatabase {
    disk: SimDisk,
    path: PathBuf,
}

impl SimDatabase {
    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        let mut state = self.disk.lock();
        work(state.databases.get_mut(&self.path).expect("an open database is there"))
    }

    async fn sync(&self) {
        let covered = self.with(|table| table.unsynced());
        let (timed, takes) = {
            let state = self.disk.lock();
            (state.timed && is_log(&self.path), state.sync)
        };
        if timed {
            tokio::time::sleep(takes).await;
        }
        self.with(|table| table.make_durable(covered));
    }
}

impl Reads for SimDatabase {
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.with(|table| table.get(family, key)))
    }

    fn ascend<'a>(&'a self, family: &str, from: &[u8], to: Option<&[u8]>) -> Scan<'a> {
        rows(self.with(|table| table.ascend(family, from, to)))
    }

    fn descend<'a>(&'a self, family: &str, from: &[u8]) -> Scan<'a> {
        rows(self.with(|table| table.descend(family, from)))
    }
}

fn rows<'a>(found: Vec<RawRow>) -> Scan<'a> {
    Box::new(found.into_iter().map(Ok))
}

impl Database for SimDatabase {
    fn batch(&self) -> Box<dyn Batch + '_> {
        Box::new(SimBatch { database: self, changes: Vec::new() })
    }

    fn view(&self) -> Box<dyn Reads + '_> {
        Box::new(View(self.with(|table| table.clone())))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async {
            self.sync().await;
            Ok(())
        })
    }

    fn drop_files(&self, _family: &str, _to: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn checkpoint(&self, path: &Path) -> Result<(), Error> {
        // A copy flushes what it copies, and nothing else.
        let bytes = self.with(|table| {
            table.make_durable(table.unsynced());
            table.encode()
        });
        std::fs::create_dir_all(path).expect("the simulation has a folder to work in");
        std::fs::write(path.join(COPY), bytes).expect("the simulation has a folder to work in");
        Ok(())
    }
}

/// Everything as it was at one moment.
struct View(Table);

impl Reads for View {
    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(family, key))
    }

    fn ascend<'a>(&'a self, family: &str, from: &[u8], to: Option<&[u8]>) -> Scan<'a> {
        rows(self.0.ascend(family, from, to))
    }

    fn descend<'a>(&'a self, family: &str, from: &[u8]) -> Scan<'a> {
        rows(self.0.descend(family, from))
    }
}

struct SimBatch<'a> {
    database: &'a SimDatabase,
    changes: Vec<Op>,
}

impl Batch for SimBatch<'_> {
    fn put(&mut self, family: &str, key: &[u8], value: &[u8]) {
        self.changes.push(Op::Put(Key::new(family, key), value.to_owned()));
    }

    fn delete(&mut self, family: &str, key: &[u8]) {
        self.changes.push(Op::Delete(Key::new(family, key)));
    }

    fn delete_range(&mut self, family: &str, from: &[u8], to: &[u8]) {
        self.changes.push(Op::DeleteRange(Key::new(family, from), to.to_owned()));
    }

    fn write(self: Box<Self>) -> Result<(), Error> {
        let Self { database, changes } = *self;
        let log = is_log(&database.path);
        if !log {
            database.disk.shared.watch.rows_written(&changes.iter().filter_map(Op::told).collect::<Vec<_>>());
        }
        database.with(|table| table.write(changes));
        if !log {
            database.disk.flush_now_and_then(&database.path);
        }
        Ok(())
    }
}
