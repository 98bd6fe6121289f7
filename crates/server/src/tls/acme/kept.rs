//! What ACME wants kept: the account with its key, and the certificate with its.
//!
//! Invariant: a file is replaced whole or not at all, and only its owner may read it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};

use crate::tls::TlsError;

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Kept(PathBuf);

/// An account, at one authority.
#[derive(Serialize, Deserialize)]
struct KeptAccount {
    directory: String,
    credentials: AccountCredentials,
}

impl Kept {
    /// Makes the folder unless it is there.
    pub(super) fn open(folder: PathBuf) -> Result<Self, TlsError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|source| TlsError::Folder {
                path: folder.clone(),
                source,
            })?;
        Ok(Self(folder))
    }

    pub(super) fn certificate_path(&self) -> PathBuf {
        self.0.join("certificate.pem")
    }

    fn account_path(&self) -> PathBuf {
        self.0.join("account.json")
    }

    /// The certificate's chain and its key, if there is one.
    pub(super) fn certificate(&self) -> Result<Option<String>, TlsError> {
        read(&self.certificate_path())
    }

    pub(super) fn put_certificate(&self, text: &str) -> Result<(), TlsError> {
        replace(&self.certificate_path(), text.as_bytes())
    }

    /// The account at this authority, if there is one.
    pub(super) fn account(&self, directory: &str) -> Result<Option<AccountCredentials>, TlsError> {
        let text = read(&self.account_path())?;
        // What is no account of this authority is replaced by one.
        let kept = text.and_then(|text| serde_json::from_str::<KeptAccount>(&text).ok());
        Ok(kept
            .filter(|kept| kept.directory == directory)
            .map(|kept| kept.credentials))
    }

    pub(super) fn put_account(
        &self,
        directory: &str,
        credentials: AccountCredentials,
    ) -> Result<(), TlsError> {
        let path = self.account_path();
        let kept = KeptAccount {
            directory: directory.to_owned(),
            credentials,
        };
        let text = serde_json::to_vec(&kept).map_err(|error| TlsError::Folder {
            path: path.clone(),
            source: std::io::Error::other(error),
        })?;
        replace(&path, &text)
    }
}

fn read(path: &Path) -> Result<Option<String>, TlsError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TlsError::Folder {
            path: path.to_owned(),
            source,
        }),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|source| TlsError::Folder {
        path: path.to_owned(),
        source,
    })
}
