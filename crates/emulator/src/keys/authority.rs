//! The CA and the certificate of the listeners.
//!
//! The CA may only vouch for this machine (RFC 5280 section 4.2.1.10, name constraints), so that trusting it in a
//! browser or a system store gives nobody else's name away.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::Directory;
use crate::Error;

const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca-key.pem";
/// The names that the listeners answer to.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// All certificates are valid from and to the first of January of these years.
const VALID_YEARS: (i32, i32) = (2020, 2049);

/// The CA of one output directory.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Takes the CA that is in `directory`, or makes one.
    pub(crate) fn open(directory: &Directory) -> Result<Self, Error> {
        let issuer = match (directory.read(CA_FILE)?, directory.read(CA_KEY_FILE)?) {
            (Some(certificate), Some(key)) => {
                let key =
                    KeyPair::from_pem(&key).map_err(|error| bad(directory, CA_KEY_FILE, &error))?;
                if !certifies(&certificate, &key) {
                    let problem = format!("it is not the certificate of {CA_KEY_FILE}");
                    return Err(Error::Key {
                        path: directory.path(CA_FILE),
                        problem,
                    });
                }
                Issuer::new(authority_params()?, key)
            }
            (None, None) => make(directory)?,
            (Some(_), None) => return Err(half(directory, CA_FILE, CA_KEY_FILE)),
            (None, Some(_)) => return Err(half(directory, CA_KEY_FILE, CA_FILE)),
        };
        Ok(Self { issuer })
    }

    pub(crate) fn path(directory: &Directory) -> std::path::PathBuf {
        directory.path(CA_FILE)
    }

    /// What a TLS listener needs, with a fresh certificate for this machine. Without ALPN.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Heliostat emulator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(VALID_YEARS.0, 1, 1);
        params.not_after = date_time_ymd(VALID_YEARS.1, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )?;
        Ok(config)
    }
}

fn make(directory: &Directory) -> Result<Issuer<'static, KeyPair>, Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let params = authority_params()?;
    let certificate = params.self_signed(&key)?;
    directory.write_private(CA_KEY_FILE, &key.serialize_pem())?;
    directory.write_public(CA_FILE, &certificate.pem())?;
    Ok(Issuer::new(params, key))
}

/// Whether a certificate is for this key. That it is one of ours follows, for nobody else has the key.
fn certifies(certificate: &str, key: &KeyPair) -> bool {
    let public = key.public_key_raw();
    CertificateDer::from_pem_slice(certificate.as_bytes()).is_ok_and(|certificate| {
        certificate
            .windows(public.len())
            .any(|window| window == public)
    })
}

/// All that is in the CA's certificate but its key; the same at each start.
fn authority_params() -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(
        DnType::CommonName,
        "Heliostat emulator CA (this machine only)",
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
                128,
            )),
        ],
        excluded_subtrees: Vec::new(),
    });
    params.not_before = date_time_ymd(VALID_YEARS.0, 1, 1);
    params.not_after = date_time_ymd(VALID_YEARS.1, 1, 1);
    Ok(params)
}

fn bad(directory: &Directory, name: &str, error: &rcgen::Error) -> Error {
    Error::Key {
        path: directory.path(name),
        problem: error.to_string(),
    }
}

fn half(directory: &Directory, has: &str, lacks: &str) -> Error {
    Error::Key {
        path: directory.path(has),
        problem: format!("it is there, but {lacks} is not"),
    }
}
