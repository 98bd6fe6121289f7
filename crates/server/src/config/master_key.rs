//! Finds the master keys, or makes one on the first start.
//!
//! A key is made only where there is no database yet: a fresh key beside an old database could open none of its secrets,
//! and would hide that the right one was lost. Two processes that start at once end up with the same key.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use domain::seal::{Keyring, MasterKey};
use zeroize::Zeroizing;

use super::{ConfigError, Database, MasterKeySource};

const FILE_LENGTH_MAX: u64 = 1024;
const MODE: u32 = 0o600;
/// Permission bits that make the key no secret: anything for others, writing for the group. A group may read, as it must
/// where an orchestrator mounts secrets for a service's group.
const MODE_REFUSED: u32 = 0o027;

pub(super) fn load(source: &MasterKeySource, database: &Database) -> Result<Keyring, ConfigError> {
    let path = match source {
        MasterKeySource::Given(key) => return Ok(key.clone()),
        MasterKeySource::File(path) => path,
        MasterKeySource::Unset => return Err(ConfigError::MasterKeyUnset),
    };
    let missing = |result: &Result<_, ConfigError>| matches!(result, Err(ConfigError::Unreadable { source, .. }) if source.kind() == ErrorKind::NotFound);
    let found = read(path);
    if !missing(&found) {
        return found;
    }
    let Database::Sqlite(database) = database else {
        // One made here would be no other node's.
        return found;
    };
    if database.exists() {
        // Another process may have made both meanwhile, the key first.
        let found = read(path);
        return if missing(&found) {
            Err(ConfigError::MasterKeyLost {
                database: database.clone(),
                path: path.clone(),
            })
        } else {
            found
        };
    }
    make(path).map_err(|source| ConfigError::Unreadable {
        what: "or make the master key file",
        path: path.clone(),
        source,
    })?;
    read(path)
}

pub(super) fn present(source: &MasterKeySource) -> Result<Option<Keyring>, ConfigError> {
    match source {
        MasterKeySource::Given(key) => Ok(Some(key.clone())),
        MasterKeySource::File(path) if path.exists() => read(path).map(Some),
        MasterKeySource::File(_) | MasterKeySource::Unset => Ok(None),
    }
}

fn read(path: &Path) -> Result<Keyring, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        what: "the master key file",
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & MODE_REFUSED != 0 {
        return Err(ConfigError::MasterKeyOpen {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.len() > FILE_LENGTH_MAX {
        return Err(unreadable(std::io::Error::other("it is no key file")));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    Keyring::from_base64(&text).map_err(|source| ConfigError::MasterKey {
        place: path.display().to_string(),
        source,
    })
}

/// Writes a new key to a file of its own and links that to `path`, which fails if another process was first: then the
/// other's key stands. Nobody ever sees half a key.
fn make(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let draft = folder.join(format!(".master-key-{}", uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&draft)?;
    let written = (|| {
        file.write_all(MasterKey::random().to_base64().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        match std::fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })();
    let removed = std::fs::remove_file(&draft);
    written.and(removed)?;
    File::open(folder)?.sync_all()
}
