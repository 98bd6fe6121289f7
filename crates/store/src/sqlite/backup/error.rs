//! Why there is no copy, or why one is not put into its place. Each reads as one line.

use std::path::{Path, PathBuf};

use crate::StoreError;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no database {}", .0.display())]
    NoDatabase(PathBuf),
    /// There is no copy.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// Something would be overwritten.
    #[error("{} is there already; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// The log of a database that is gone would be taken for that of the new one.
    #[error(
        "{} is left of another database and may hold changes of it; put it away with its database, or --force deletes it",
        .0.display()
    )]
    LogLeft(PathBuf),
    /// A copy over what it is a copy of.
    #[error("{} is the database itself or belongs to it: choose another file", .0.display())]
    OwnFile(PathBuf),
    /// Somebody makes the same copy.
    #[error("somebody else is making {}", .0.display())]
    BeingMade(PathBuf),
    /// Somebody works on the database that would be replaced.
    #[error(
        "a server, or another command, works on the database {}: stop it first; nothing was changed",
        .0.display()
    )]
    InUse(PathBuf),
    /// Somebody held the database for too long.
    #[error("somebody holds the database {} so that it cannot be read", .0.display())]
    Busy(PathBuf),
    /// Of another program, or a newer one.
    #[error("{} cannot be used: {why}", .file.display())]
    Foreign {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// Not a whole file.
    #[error("{} is damaged: {what}", .file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// It was copied with `cp`, without what belongs to it.
    #[error(
        "{} is not empty: the file beside it is no finished copy. Make one with `heliostat backup`, or open and close it with a \
         server first",
        .0.display()
    )]
    Unfinished(PathBuf),
    /// Sealed under another key than servers would have.
    #[error("the secrets in {} cannot be opened: {why}; nothing was changed", .file.display())]
    MasterKey {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// It cannot be read.
    #[error("cannot read {}: {why}", .file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// It cannot be written.
    #[error("cannot write {}: {why}", .file.display())]
    Write {
        /// Which file.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

impl BackupError {
    /// The same, said of another file if it was said of this one.
    pub(super) fn of(mut self, this: &Path, other: &Path) -> Self {
        if let Self::Foreign { file, .. }
        | Self::Damaged { file, .. }
        | Self::MasterKey { file, .. }
        | Self::Read { file, .. } = &mut self
            && file == this
        {
            other.clone_into(file);
        }
        self
    }
}

/// What a file is that is none of ours, in few words.
pub(super) fn foreign(file: &Path, error: StoreError) -> BackupError {
    let why = match error {
        StoreError::Corrupt(why) => why,
        other => other.to_string(),
    };
    BackupError::Foreign {
        file: file.to_owned(),
        why,
    }
}

pub(super) fn cannot_read(file: &Path, error: &dyn std::error::Error) -> BackupError {
    BackupError::Read {
        file: file.to_owned(),
        why: error.to_string(),
    }
}

pub(super) fn cannot_write(file: &Path, error: &dyn std::error::Error) -> BackupError {
    BackupError::Write {
        file: file.to_owned(),
        why: error.to_string(),
    }
}
