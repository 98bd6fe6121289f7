//! How requests come in, as it is written, and its rules.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::{invalid, networks, set, timeout, web_url};
use crate::config::{Acme, ConfigError, ForwardedBy, Proxies, Tls, TlsFiles};

/// As many names as Let's Encrypt puts into a certificate.
const NAMES_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    certificate_file: String,
    key_file: String,
    check_secs: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAcme {
    names: Vec<String>,
    terms_agreed: bool,
    contact: String,
    directory_url: String,
    folder: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProxies {
    trusted: Vec<String>,
    header: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    listen: String,
}

pub(super) fn tls(raw: &RawTls, raw_acme: &RawAcme) -> Result<Option<Tls>, ConfigError> {
    let files = match (set(&raw.certificate_file), set(&raw.key_file)) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: PathBuf::from(certificate),
            key: PathBuf::from(key),
            check_every: timeout("tls.check_secs", raw.check_secs)?,
        }),
        (Some(_), None) => {
            let message = "must be set beside tls.certificate_file";
            return Err(invalid("tls.key_file", message));
        }
        (None, Some(_)) => {
            let message = "must be set beside tls.key_file";
            return Err(invalid("tls.certificate_file", message));
        }
    };
    match (files, acme(raw_acme)?) {
        (Some(_), Some(_)) => Err(invalid(
            "acme.names",
            "must not be set beside tls.certificate_file: a certificate comes from one of the two",
        )),
        (files, acme) => Ok(files.map(Tls::Files).or(acme.map(Tls::Acme))),
    }
}

fn acme(raw: &RawAcme) -> Result<Option<Acme>, ConfigError> {
    if raw.names.is_empty() {
        return Ok(None);
    }
    if raw.names.len() > NAMES_MAX {
        return Err(invalid(
            "acme.names",
            format!("must be at most {NAMES_MAX}"),
        ));
    }
    if !raw.terms_agreed {
        return Err(invalid(
            "acme.terms_agreed",
            "must be true: the certificate authority wants its terms of service agreed to",
        ));
    }
    let names = raw.names.iter().map(|name| host_name(name));
    let contact = set(&raw.contact).map(str::to_owned);
    if contact
        .as_ref()
        .is_some_and(|contact| !contact.starts_with("mailto:"))
    {
        return Err(invalid("acme.contact", "must be a mailto: URL"));
    }
    let directory = web_url("acme.directory_url", &raw.directory_url)?;
    if directory.scheme() != "https" {
        return Err(invalid("acme.directory_url", "must be an https:// URL"));
    }
    Ok(Some(Acme {
        names: names.collect::<Result<_, _>>()?,
        contact,
        directory,
        folder: set(&raw.folder)
            .map(PathBuf::from)
            .ok_or_else(|| invalid("acme.folder", "must be a directory"))?,
    }))
}

/// A name that a certificate can be got for by answering at it: no wildcard, no address.
fn host_name(text: &str) -> Result<String, ConfigError> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let name = text.trim().to_ascii_lowercase();
    let good = name.contains('.')
        && name.len() <= 253
        && name.split('.').all(label)
        && name.parse::<std::net::IpAddr>().is_err();
    if good {
        Ok(name)
    } else {
        let message = format!("{text:?} is no host name such as push.example.com");
        Err(invalid("acme.names", message))
    }
}

pub(super) fn proxies(raw: &RawProxies) -> Result<Proxies, ConfigError> {
    let forwarded_by = match raw.header.as_str() {
        "x-forwarded" => ForwardedBy::XForwarded,
        "forwarded" => ForwardedBy::Forwarded,
        _ => {
            return Err(invalid(
                "proxies.header",
                "must be x-forwarded or forwarded",
            ));
        }
    };
    Ok(Proxies {
        trusted: networks("proxies.trusted", &raw.trusted)?,
        forwarded_by,
    })
}

pub(super) fn metrics_listen(raw: &RawMetrics) -> Result<Option<SocketAddr>, ConfigError> {
    let address = set(&raw.listen).map(str::parse).transpose();
    let message = "must be an IP address and a port, such as 127.0.0.1:9090";
    address.map_err(|_| invalid("metrics.listen", message))
}
