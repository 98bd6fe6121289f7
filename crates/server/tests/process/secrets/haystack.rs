//! Secrets, and what they are looked for in.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How much of a longer text around a find is shown.
const AROUND: usize = 120;

/// Where something was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// Logs, metrics, help, what commands say, and refusals of any API.
    Written,
    /// Answers and pages for whoever has an admin token.
    Shown,
    /// The database's files.
    Kept,
}

impl Where {
    pub(crate) const ALL: [Self; 3] = [Self::Written, Self::Shown, Self::Kept];
}

/// A secret.
#[derive(Debug)]
pub(crate) struct Needle {
    pub(crate) name: &'static str,
    forms: BTreeSet<Vec<u8>>,
    nowhere: &'static [Where],
}

impl Needle {
    /// A secret that must not be seen in these places.
    pub(crate) fn new(name: &'static str, secret: &[u8], nowhere: &'static [Where]) -> Self {
        assert!(secret.len() >= 8, "{name} is too short to be looked for");
        Self {
            name,
            forms: forms(secret),
            nowhere,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    pub(crate) fn must_not_be(&self, place: Where) -> bool {
        self.nowhere.contains(&place)
    }
}

/// A secret as it is and as it may be written. Base64 of a longer text that has it somewhere begins at one of three bits; what
/// the neighbours would change is left off.
fn forms(secret: &[u8]) -> BTreeSet<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = BTreeSet::from([
        secret.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
    ]);
    for before in 0..3 {
        let text = [&vec![0; before][..], secret].concat();
        let whole = text.len() / 3 * 4;
        let from = if before == 0 { 0 } else { 4 };
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            forms.insert(encoded.as_bytes()[from..whole].to_vec());
        }
    }
    // As JSON writes it in a text.
    let text = String::from_utf8_lossy(secret);
    let json = serde_json::Value::from(text.as_ref()).to_string();
    forms.insert(json.trim_matches('"').as_bytes().to_vec());
    forms.retain(|form| form.len() >= 8);
    forms
}

/// Everything that was seen, with where.
#[derive(Debug, Default)]
pub(crate) struct Haystack(Vec<(Where, String, Vec<u8>)>);

impl Haystack {
    pub(crate) fn add(&mut self, place: Where, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place, name.into(), bytes.into()));
    }

    /// How many bytes were seen somewhere.
    pub(crate) fn len(&self, place: Where) -> usize {
        let there = self.0.iter().filter(|(of, _, _)| *of == place);
        there.map(|(_, _, bytes)| bytes.len()).sum()
    }

    /// What has the secret in it, and what stands around it.
    pub(crate) fn find(&self, needle: &Needle, place: Where) -> Vec<String> {
        let mut found = Vec::new();
        for (_, name, bytes) in self.0.iter().filter(|(of, _, _)| *of == place) {
            for form in &needle.forms {
                let at = memchr::memmem::find(bytes, form);
                if let Some(at) = at {
                    let from = at.saturating_sub(AROUND);
                    let to = (at + form.len() + AROUND).min(bytes.len());
                    let around = String::from_utf8_lossy(&bytes[from..to]);
                    found.push(format!("{name}: …{around}…"));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let needle = Needle::new("one", b"a-secret?>~of-a-test", &Where::ALL);
        for before in ["", "x", "xy", "xyz"] {
            let text = format!("{before}a-secret?>~of-a-test and more");
            let written = [
                text.clone(),
                STANDARD_NO_PAD.encode(&text),
                URL_SAFE_NO_PAD.encode(&text),
                text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            ];
            for text in written {
                let mut heap = Haystack::default();
                heap.add(Where::Written, "a log", text.clone());
                assert_eq!(heap.find(&needle, Where::Written).len(), 1, "{text}");
                assert!(heap.find(&needle, Where::Kept).is_empty());
            }
        }
    }
}
