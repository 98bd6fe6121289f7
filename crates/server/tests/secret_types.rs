//! Whatever is named like a secret, anywhere in the sources, is of a type that wipes it from memory, and is shown by nothing; or it
//! stands here with a reason. A new type cannot be forgotten: the types are found in the sources.
//!
//! What those types themselves do is checked beside the domain's.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The crates that a server is made of; the emulator's secrets are made up.
const CRATES: [&str; 6] = ["client", "delivery", "domain", "gateway", "server", "store"];

/// Types that keep text or bytes as they are.
const BARE: [&str; 10] = [
    "String",
    "Option<String>",
    "Box<str>",
    "Arc<str>",
    "Vec<u8>",
    "Option<Vec<u8>>",
    "Box<[u8]>",
    "Bytes",
    "HeaderValue",
    "&'a str",
];
/// Parts of names that say that something is a secret.
const SECRET: [&str; 9] = [
    "secret",
    "password",
    "private",
    "token",
    "pem",
    "authorization",
    "bearer",
    "cookie",
    "credential",
];

/// Fields, and types of one unnamed field, that are kept as they are, and why.
const EXCEPTIONS: [(&str, &str, &str); 29] = [
    // As it is sent. A header is no memory of ours: the HTTP library copies it for each request. `Debug` of a header that is marked
    // as sensitive does not show it.
    ("Client", "authorization", "marked as sensitive"),
    ("AdminClient", "authorization", "marked as sensitive"),
    (
        "Parts",
        "authorization",
        "marked as sensitive, lives for a request",
    ),
    (
        "BeamsToken",
        "token",
        "made to be handed to a device; Debug is written by hand",
    ),
    ("Stage", "admin_token", "of the demo's own server; no Debug"),
    (
        "Device",
        "journal_token",
        "the name of a made-up device in the demo",
    ),
    ("Read", "token", "a gateway token in a file of the operator"),
    (
        "Written",
        "token",
        "a gateway token on its way into a file of the operator",
    ),
    ("Parts", "token", "a gateway token on its way into a path"),
    // No secrets.
    ("FcmCredential", "private_key_id", "an id"),
    ("ServiceAccountJson", "private_key_id", "an id"),
    ("Key", "private_key_id", "an id"),
    ("FcmCredential", "token_uri", "an address"),
    ("ServiceAccountJson", "token_uri", "an address"),
    ("Key", "token_uri", "an address"),
    (
        "FcmMessage",
        "before_token",
        "the message, but for the token",
    ),
    (
        "FcmMessage",
        "after_token",
        "the message, but for the token",
    ),
    ("AdminTokenName", "0", "what people call it"),
    ("TokenName", "0", "what nodes call it: a digest"),
    ("Entry", "token_name", "what people call it"),
    ("NewAuditEntry", "token_name", "what people call it"),
    ("Config", "extra_ca_pem", "certificates"),
    ("Outbound", "extra_ca_pem", "certificates"),
    ("Stored", "token", "a digest; sealed as a whole"),
    // Descriptions of bodies for the OpenAPI, never made.
    ("NewWebhook", "secret", "described, parsed by hand"),
    ("NewInstance", "secret_key", "described, parsed by hand"),
    ("NewSecretKey", "secret_key", "described, parsed by hand"),
    ("NewDevice", "token", "described, parsed by hand"),
    ("NewGatewayToken", "token", "described, parsed by hand"),
];

#[derive(Debug)]
struct Found {
    file: String,
    of: String,
    field: String,
    kind: String,
    derives: String,
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

/// The fields of the structs of a source.
fn fields(file: &str, text: &str, found: &mut Vec<Found>) {
    let (mut derives, mut of) = (String::new(), None::<String>);
    for line in text.lines() {
        let code = line.trim();
        if let Some(name) = &of {
            if line == "}" {
                of = None;
                derives.clear();
            } else if let Some((field, kind)) = code.split_once(": ")
                && !code.starts_with("//")
                && !code.starts_with('#')
            {
                found.push(Found {
                    file: file.to_owned(),
                    of: name.clone(),
                    field: field.rsplit(' ').next().unwrap_or(field).to_owned(),
                    kind: kind.trim_end_matches(',').to_owned(),
                    derives: derives.clone(),
                });
            }
            continue;
        }
        if let Some(list) = code.strip_prefix("#[derive(") {
            derives.push_str(list);
            continue;
        }
        let Some((before, rest)) = code.split_once("struct ") else {
            // Documentation and other attributes may stand between a derive and its type.
            if !code.starts_with("//") && !code.starts_with('#') {
                derives.clear();
            }
            continue;
        };
        if !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let name: String = rest
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric())
            .collect();
        if let Some((_, inside)) = rest.split_once('(') {
            let inside = inside.trim_end_matches(';').trim_end_matches(')');
            found.push(Found {
                file: file.to_owned(),
                of: name,
                field: "0".to_owned(),
                kind: inside.rsplit("pub ").next().unwrap_or(inside).to_owned(),
                derives: std::mem::take(&mut derives),
            });
        } else if rest.ends_with('{') {
            of = Some(name);
        }
    }
}

fn all() -> Vec<Found> {
    let mut found = Vec::new();
    for name in CRATES {
        let folder = Path::new(ROOT).join(name).join("src");
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            // Tests hold what they made up.
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let short = file.strip_prefix(Path::new(ROOT)).unwrap();
            fields(&short.display().to_string(), text, &mut found);
        }
    }
    found
}

fn is_secret(found: &Found) -> bool {
    let name = if found.field == "0" {
        found.of.to_lowercase()
    } else {
        found.field.to_lowercase()
    };
    SECRET.iter().any(|part| name.contains(part))
}

#[test]
fn whatever_is_named_like_a_secret_is_kept_like_one() {
    let all = all();
    assert!(all.len() > 500, "only {} fields were found", all.len());
    let mut met = BTreeSet::new();
    let mut wrong = Vec::new();
    for found in all.iter().filter(|found| is_secret(found)) {
        let exception = EXCEPTIONS
            .iter()
            .position(|(of, field, _)| *of == found.of && *field == found.field);
        if !BARE.contains(&found.kind.as_str()) {
            continue;
        }
        match exception {
            Some(known) => {
                met.insert(known);
            }
            None => wrong.push(format!(
                "{}: {}.{} is a {}, derives {}",
                found.file, found.of, found.field, found.kind, found.derives
            )),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let stale: Vec<_> = (0..EXCEPTIONS.len())
        .filter(|place| !met.contains(place))
        .map(|place| EXCEPTIONS[place])
        .collect();
    assert!(stale.is_empty(), "exceptions that nothing needs: {stale:?}");
}

/// `Zeroizing` shows what it holds, so a type that has one and shows itself must not be made to by a derive.
#[test]
fn no_derive_shows_what_is_wiped() {
    let wrong: Vec<_> = all()
        .into_iter()
        .filter(|found| found.kind.contains("Zeroizing") && found.derives.contains("Debug"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
