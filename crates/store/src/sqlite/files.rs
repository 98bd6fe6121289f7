//! The files of a database, and whether those that were opened still have their names.
//!
//! A file that is deleted while it is open is there until it is closed: what is written into it is on disk, and gone when the
//! process ends. SQLite does not look, so the writing thread does, before it answers.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The path with something behind its name.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Forces the names of a file's folder to disk.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Where the database is when links are followed, as SQLite does: its log is beside that.
pub(super) fn real_path(database: &Path) -> PathBuf {
    let real = database.canonicalize();
    real.unwrap_or_else(|_| database.to_owned())
}

/// Who works as root must not leave a file that the server cannot open: it belongs to whom the database belongs to, or its
/// folder.
pub(super) fn own_like(file: &File, database: &Path) -> io::Result<()> {
    let own = file.metadata()?;
    let before = std::fs::metadata(database).or_else(|_| std::fs::metadata(folder_of(database)))?;
    if own.uid() == 0 && (before.uid(), before.gid()) != (own.uid(), own.gid()) {
        std::os::unix::fs::fchown(file, Some(before.uid()), Some(before.gid()))?;
    }
    Ok(())
}

/// What a file is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
        }
    }

    fn at(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|file| Self::of(&file))
    }
}

/// Whether the open file still has this name.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = Identity::of(&file.metadata()?);
    match Identity::at(path) {
        Ok(there) => Ok(there == own),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why nothing may be acknowledged.
#[derive(Debug, thiserror::Error)]
pub(super) enum Moved {
    /// The log.
    #[error(
        "the log {} of the database was deleted or replaced while it is in use, so that a write would be lost: end the server with \
         SIGTERM, which saves what was acknowledged, and start it again ({why})",
        .file.display()
    )]
    Log { file: PathBuf, why: String },
    /// The database itself.
    #[error(
        "the database {} was deleted or replaced while it is in use, so that a write would be lost: stop the server, put the file \
         back or restore a backup, and start it again ({why})",
        .file.display()
    )]
    Database { file: PathBuf, why: String },
}

/// A file that was opened under a name.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    identity: Identity,
}

impl Opened {
    fn at(path: PathBuf) -> io::Result<Self> {
        let identity = Identity::at(&path)?;
        Ok(Self { path, identity })
    }

    /// What is wrong with the name now.
    fn check(&self) -> Result<(), String> {
        match Identity::at(&self.path) {
            Ok(there) if there == self.identity => Ok(()),
            Ok(_) => Err("another file has its name".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The database and its log, both of which the process has open.
#[derive(Debug)]
pub(super) struct Files {
    database: Opened,
    log: Opened,
}

impl Files {
    /// Those that a connection has just opened; it has read, so that there is a log.
    pub(super) fn opened(database: &Path) -> io::Result<Self> {
        let database = real_path(database);
        Ok(Self {
            log: Opened::at(beside(&database, "-wal"))?,
            database: Opened::at(database)?,
        })
    }

    /// Where the log is.
    pub(super) fn log(&self) -> &Path {
        &self.log.path
    }

    /// Whether the database is where it was.
    pub(super) fn has_database(&self) -> bool {
        self.database.check().is_ok()
    }

    /// Whether both have their names: two calls of the kernel, a microsecond each, where a commit to disk takes a hundred.
    pub(super) fn check(&self) -> Result<(), Moved> {
        let moved = |opened: &Opened, why| (opened.path.clone(), why);
        self.database.check().map_err(|why| {
            let (file, why) = moved(&self.database, why);
            Moved::Database { file, why }
        })?;
        self.log.check().map_err(|why| {
            let (file, why) = moved(&self.log, why);
            Moved::Log { file, why }
        })
    }
}
