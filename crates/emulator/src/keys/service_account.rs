//! Google's service account: an RSA key and the file that Google's console hands out for it.
//!
//! Owns the file's form. Invariant: only `token_uri` ever changes in a file that is already there.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};

use super::Directory;
use crate::Error;

const FILE: &str = "service-account.json";
const PROJECT: &str = "heliostat-emulator";
const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// The file, with Google's names.
#[derive(Serialize, Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    client_id: String,
    auth_uri: String,
    token_uri: String,
    auth_provider_x509_cert_url: String,
    client_x509_cert_url: String,
    universe_domain: String,
}

/// What Google would know about the account.
pub(crate) struct ServiceAccount {
    pub(crate) project_id: String,
    pub(crate) client_email: String,
    pub(crate) private_key_id: String,
    pub(crate) token_uri: String,
    pub(crate) public: DecodingKey,
}

impl ServiceAccount {
    /// Takes the account that is in `directory`, or makes one, and writes `token_uri` into its file.
    pub(crate) fn open(directory: &Directory, token_uri: String) -> Result<Self, Error> {
        let bad = |problem: String| Error::Key {
            path: directory.path(FILE),
            problem,
        };
        let file = match directory.read(FILE)? {
            Some(text) => {
                let file: File =
                    serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
                File { token_uri, ..file }
            }
            None => make(token_uri)?,
        };
        let der =
            from_pem(&file.private_key).ok_or_else(|| bad("private_key is not PEM".to_owned()))?;
        let key = KeyPair::from_pkcs8(&der).map_err(|error| bad(error.to_string()))?;
        let text = serde_json::to_string_pretty(&file).map_err(|error| bad(error.to_string()))?;
        directory.write_private(FILE, &(text + "\n"))?;
        Ok(Self {
            public: DecodingKey::from_rsa_der(key.public_key().as_ref()),
            project_id: file.project_id,
            client_email: file.client_email,
            private_key_id: file.private_key_id,
            token_uri: file.token_uri,
        })
    }

    pub(crate) fn path(directory: &Directory) -> std::path::PathBuf {
        directory.path(FILE)
    }
}

fn make(token_uri: String) -> Result<File, Error> {
    let key = KeyPair::generate(KeySize::Rsa2048)?;
    let der: Pkcs8V1Der<'static> = key.as_der()?;
    // Google's key ids are 40 hexadecimal digits.
    let fingerprint = digest(&SHA1_FOR_LEGACY_USE_ONLY, key.public_key().as_ref());
    let private_key_id = fingerprint
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let client_email = format!("emulator@{PROJECT}.iam.gserviceaccount.com");
    Ok(File {
        kind: "service_account".to_owned(),
        project_id: PROJECT.to_owned(),
        private_key_id,
        private_key: to_pem(der.as_ref()),
        client_id: "100000000000000000001".to_owned(),
        auth_uri: "https://accounts.google.com/o/oauth2/auth".to_owned(),
        token_uri,
        auth_provider_x509_cert_url: "https://www.googleapis.com/oauth2/v1/certs".to_owned(),
        client_x509_cert_url: format!(
            "https://www.googleapis.com/robot/v1/metadata/x509/{client_email}"
        ),
        client_email,
        universe_domain: "googleapis.com".to_owned(),
    })
}

fn to_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("{PEM_BEGIN}\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + PEM_END + "\n"
}

fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    STANDARD
        .decode(body.split_ascii_whitespace().collect::<String>())
        .ok()
}
