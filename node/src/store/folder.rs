//! A folder that goes when its last user does, once it has been replaced.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Owner of a folder's existence. Declare it after whatever has files open in the folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    replaced: AtomicBool,
}

impl Folder {
    /// Takes charge of `path`, which stays unless it is replaced.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), replaced: AtomicBool::new(false) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the folder go when its last user does.
    pub fn replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.replaced.load(Ordering::Relaxed)
            && let Err(error) = fs_err::remove_dir_all(&self.path)
        {
            // Not fatal: the next start removes it.
            tracing::warn!(%error, "cannot remove a folder that was replaced");
        }
    }
}
