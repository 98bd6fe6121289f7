//! The directory that the emulator writes to.
//!
//! Knows names and modes, not what is in the files. Invariant: a reader sees a whole file or none, and a private file
//! is never readable by others, not even for a moment.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::Error;

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// An existing directory.
#[derive(Debug, Clone)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes the directory if it is not there, and its path absolute, because it ends up in `env.sh`.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        Ok(Self(path.canonicalize().map_err(failed)?))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The text of a file, or nothing if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, Error> {
        match std::fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File {
                path: self.path(name),
                source,
            }),
        }
    }

    pub(crate) fn write_public(&self, name: &str, text: &str) -> Result<(), Error> {
        self.write(name, text, PUBLIC)
    }

    pub(crate) fn write_private(&self, name: &str, text: &str) -> Result<(), Error> {
        self.write(name, text, PRIVATE)
    }

    /// Writes beside and renames, so that a reader never sees half a file. The mode is the new file's own.
    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), Error> {
        let path = self.path(name);
        let beside = self.path(&format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| std::fs::rename(&beside, &path));
        written.map_err(|source| {
            let _ = std::fs::remove_file(&beside);
            Error::File { path, source }
        })
    }
}

/// A file that a POSIX shell can source.
pub(crate) fn env_file(variables: &[(&'static str, String)]) -> String {
    let mut text =
        String::from("# Written by `heliostat emulate` at each start. Use: . ./env.sh\n");
    for (name, value) in variables {
        text.push_str(&format!(
            "export {name}='{}'\n",
            value.replace('\'', r"'\''")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_a_shell() {
        let text = env_file(&[("A", "it's $HOME `x`".to_owned())]);
        let output = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("{text}\nprintf %s \"$A\""))
            .output();
        assert_eq!(output.unwrap().stdout, b"it's $HOME `x`");
    }
}
