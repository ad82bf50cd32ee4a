//! Levers on a node's disk and wall clock: a small preloaded library that obeys a shared file. Needs no privileges.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err::{File, OpenOptions};

use super::tool;

/// The library's source; compiled at run time, because it is of use here alone.
const SOURCE: &str = include_str!("levers.c");
/// Bytes of the shared file. The layout is described in the source.
const LENGTH: u64 = 24;

/// The compiled library.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    path: PathBuf,
}

impl Library {
    /// Compiles the library into `folder`.
    ///
    /// # Errors
    /// When there is no C compiler, or it fails.
    pub(crate) fn compile(folder: &Path) -> anyhow::Result<Self> {
        let (source, path) = (folder.join("levers.c"), folder.join("levers.so"));
        fs_err::write(&source, SOURCE)?;
        let mut cc = Command::new("cc");
        tool::run(cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(&source).arg("-ldl"))?;
        Ok(Self { path })
    }
}

/// The levers of one node.
#[derive(Debug)]
pub(crate) struct Levers {
    library: Library,
    path: PathBuf,
    file: File,
}

impl Levers {
    /// Levers at rest, in a shared file at `path`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn new(library: Library, path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        file.set_len(LENGTH)?;
        Ok(Self { library, path, file })
    }

    /// What a process needs in its environment to be moved by these levers.
    pub(crate) fn environment(&self) -> [(&'static str, OsString); 2] {
        [("LD_PRELOAD", self.library.path.clone().into()), ("RAFTWORK_LEVERS", self.path.clone().into())]
    }

    /// Every sync fails from now on, or none.
    pub(crate) fn set_sync_fails(&self, fails: bool) -> io::Result<()> {
        self.set_u32(0, fails.into())
    }

    /// Every sync takes so much longer.
    pub(crate) fn set_sync_delay_ms(&self, ms: u32) -> io::Result<()> {
        self.set_u32(4, ms)
    }

    /// The disk is full, or not.
    pub(crate) fn set_disk_full(&self, full: bool) -> io::Result<()> {
        self.set_u32(8, full.into())
    }

    /// The wall clock is so much ahead of the true time.
    pub(crate) fn set_clock_ahead_ms(&self, ms: i64) -> io::Result<()> {
        self.file.file().write_all_at(&ms.to_ne_bytes(), 16)
    }

    /// How often any lever has taken effect.
    pub(crate) fn effects(&self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.file.file().read_exact_at(&mut bytes, 12)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// All levers at rest.
    pub(crate) fn rest(&self) -> io::Result<()> {
        self.set_sync_fails(false)?;
        self.set_sync_delay_ms(0)?;
        self.set_disk_full(false)?;
        self.set_clock_ahead_ms(0)
    }

    fn set_u32(&self, at: u64, value: u32) -> io::Result<()> {
        self.file.file().write_all_at(&value.to_ne_bytes(), at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levers(folder: &Path) -> Levers {
        let library = Library::compile(folder).expect("a C compiler is there");
        Levers::new(library, folder.join("levers")).expect("the folder can be written")
    }

    fn run(levers: &Levers, shell: &str) -> (bool, String) {
        let mut command = Command::new("sh");
        let done = command.args(["-c", shell]).envs(levers.environment()).output().expect("there is a shell");
        (done.status.success(), String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    #[test]
    fn a_full_disk_and_a_failing_sync_are_seen_by_a_process_that_was_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let levers = levers(folder.path());
        let file = folder.path().join("file");
        // Neither tool opens the file as its standard output, which the library leaves alone.
        let write = format!("(echo x | cp /dev/stdin {0} && sync {0}) 2>&1", file.display());
        assert!(run(&levers, &write).0);
        levers.set_disk_full(true).unwrap();
        let (done, said) = run(&levers, &write);
        assert!(!done && said.contains("No space left"), "{said}");
        levers.rest().unwrap();
        levers.set_sync_fails(true).unwrap();
        let (done, said) = run(&levers, &write);
        assert!(!done && said.contains("Input/output error"), "{said}");
        assert!(levers.effects().unwrap() >= 2);
    }

    #[test]
    fn a_log_for_people_finds_no_room_either_and_is_not_counted() {
        let folder = tempfile::tempdir().unwrap();
        let levers = levers(folder.path());
        levers.set_disk_full(true).unwrap();
        let (done, said) =
            run(&levers, &format!("echo x | cp /dev/stdin {} 2>&1", folder.path().join("LOG").display()));
        assert!(!done && said.contains("No space left"), "{said}");
        assert_eq!(levers.effects().unwrap(), 0);
    }

    #[test]
    fn the_wall_clock_moves_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let levers = levers(folder.path());
        let year = || run(&levers, "date +%Y").1.parse::<i64>().unwrap();
        let true_year = year();
        levers.set_clock_ahead_ms(-400 * 86_400_000).unwrap();
        assert!(year() < true_year);
        levers.rest().unwrap();
        assert_eq!(year(), true_year);
    }
}
