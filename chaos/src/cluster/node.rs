//! A node under test: its process, its data folder, and what can be done to its disk and clock.

use std::path::{Path, PathBuf};

use super::image::Image;
use super::layout::Layout;
use super::levers::{Levers, Library};
use super::process::{Process, Recipe};

/// How a daemon is told to be this node. In a network of its own it is on no loopback address, and yet nobody but the harness
/// reaches it.
pub(super) fn serve(config: &str, id: u64) -> [String; 6] {
    ["serve", "--insecure", "--config", config, "--node", &id.to_string()].map(str::to_owned)
}

/// A node; whoever holds it has it alone.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its id.
    pub(crate) id: u64,
    /// Its process.
    pub(crate) process: Process,
    /// Its disk and clock, if there is a C compiler.
    pub(crate) levers: Option<Levers>,
    /// Its disk, if it has one of its own.
    pub(crate) image: Option<Image>,
    /// Its data folder.
    pub(crate) data: PathBuf,
    /// Whether it may end by itself now, because something was done to it.
    pub(crate) may_end: bool,
}

impl Node {
    /// A node that is not running yet.
    ///
    /// # Errors
    /// When its files cannot be made.
    pub(crate) fn new(
        layout: &Layout,
        id: u64,
        raftworkd: &Path,
        library: Option<&Library>,
        own_disk: bool,
        network: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let name = format!("n{id}");
        let data = layout.data(id);
        fs_err::create_dir_all(layout.file(&name))?;
        let image = own_disk
            .then(|| Image::create(layout.file(&format!("{name}.ext4")), layout.file(&name)))
            .transpose()?;
        let levers = library
            .map(|library| Levers::new(library.clone(), layout.file(&format!("{name}.levers"))))
            .transpose()?;
        let environment = levers.iter().flat_map(Levers::environment);
        let recipe = Recipe {
            program: raftworkd.to_owned(),
            arguments: serve("cluster.toml", id).map(Into::into).into(),
            environment: environment.map(|(key, value)| (key.to_owned(), value)).collect(),
            log: layout.file(&format!("{name}.log")),
            folder: layout.folder().to_owned(),
            network,
            name,
        };
        Ok(Self { id, process: Process::new(recipe), levers, image, data, may_end: false })
    }

    /// Undoes whatever was done to its disk, its clock and its process, and starts it if it is not running.
    ///
    /// # Errors
    /// When it cannot be.
    pub(crate) fn heal(&mut self) -> anyhow::Result<()> {
        if let Some(levers) = &self.levers {
            levers.rest()?;
        }
        self.process.resume()?;
        self.process.start()
    }
}
