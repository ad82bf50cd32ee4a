//! Generations of the row store: `sm-<n>/`, and the pointer `CURRENT_SM` that says which one counts.
//!
//! A received snapshot becomes the next generation; the pointer changes last and by an atomic rename, so that a crash at
//! any step leaves either the old rows or the new ones, never a mixture. What the pointer does not name is removed at the
//! next start.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::durable;

const POINTER: &str = "CURRENT_SM";
const PREFIX: &str = "sm-";

/// The generations in one data folder.
#[derive(Debug, Clone)]
pub struct Generations {
    data: PathBuf,
    current: u64,
}

impl Generations {
    /// Reads the pointer, or makes it (generation 1), and removes what it does not name.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or the pointer is not one.
    pub fn open(data: &Path) -> io::Result<Self> {
        let pointer = data.join(POINTER);
        let current = match fs_err::read_to_string(&pointer) {
            Ok(text) => parse(text.trim()).ok_or_else(|| {
                io::Error::other(format!(
                    "{} says '{}', which names no generation of rows",
                    pointer.display(),
                    text.trim()
                ))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
            Err(error) => return Err(error),
        };
        let generations = Self { data: data.to_owned(), current };
        generations.point()?;
        generations.remove_others()?;
        Ok(generations)
    }

    /// The folder that counts.
    pub fn path(&self) -> PathBuf {
        self.data.join(name(self.current))
    }

    /// The folder that the next generation shall have; it does not exist.
    ///
    /// # Errors
    /// When an abandoned attempt cannot be removed.
    pub fn next_path(&self) -> io::Result<PathBuf> {
        let next = self.data.join(name(self.current + 1));
        remove(&next)?;
        Ok(next)
    }

    /// Makes the next generation, whose folder is complete and durable, the one that counts.
    ///
    /// # Errors
    /// When the pointer cannot be written; the old generation counts then.
    pub fn advance(&mut self) -> io::Result<()> {
        self.current += 1;
        self.point().inspect_err(|_| self.current -= 1)
    }

    fn point(&self) -> io::Result<()> {
        durable::write(&self.data.join(POINTER), name(self.current).as_bytes())
    }

    fn remove_others(&self) -> io::Result<()> {
        for entry in fs_err::read_dir(&self.data)? {
            let entry = entry?;
            let generation = entry.file_name().to_str().and_then(parse);
            if generation.is_some_and(|generation| generation != self.current) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

fn name(generation: u64) -> String {
    format!("{PREFIX}{generation}")
}

fn parse(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs_err::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_generation_that_the_pointer_names_survives_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let mut generations = Generations::open(data.path()).unwrap();
        fs_err::create_dir(generations.path()).unwrap();
        let next = generations.next_path().unwrap();
        fs_err::create_dir(&next).unwrap();

        // A crash before the pointer changes: the half-made generation goes.
        let reopened = Generations::open(data.path()).unwrap();
        assert_eq!((reopened.path(), next.exists()), (generations.path(), false));

        // A crash after: the old one goes.
        fs_err::create_dir(&next).unwrap();
        let old = generations.path();
        generations.advance().unwrap();
        let reopened = Generations::open(data.path()).unwrap();
        assert_eq!((reopened.path(), old.exists()), (next, false));
    }

    #[test]
    fn a_pointer_that_is_none_is_refused() {
        let data = tempfile::tempdir().unwrap();
        fs_err::write(data.path().join(POINTER), "sm-banana").unwrap();
        assert!(Generations::open(data.path()).unwrap_err().to_string().contains("'sm-banana'"));
    }
}
