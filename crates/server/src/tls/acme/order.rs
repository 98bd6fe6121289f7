//! One order, from the account to the certificate.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;

use super::kept::Kept;
use super::web::Web;
use crate::config::Acme;
use crate::tls::{Answer, Certificates, TlsError};

/// How long an authority may take to check the answers, and then to issue.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error("{0}")]
    Acme(#[from] instant_acme::Error),
    #[error("the authority offers no TLS-ALPN-01 for {0}")]
    NoChallenge(String),
    #[error("the authority refused {0}")]
    Refused(String),
    #[error("a key or a request could not be made: {0}")]
    Made(#[from] rcgen::Error),
    #[error("{0}")]
    Unusable(TlsError),
    #[error("{0}")]
    NotKept(#[from] TlsError),
}

/// The account at the authority, made if there is none.
pub(super) async fn account(acme: &Acme, web: &Web, kept: &Kept) -> Result<Account, OrderError> {
    let directory = acme.directory.as_str();
    let builder = Account::builder_with_http(Box::new(web.clone()));
    if let Some(credentials) = kept.account(directory)? {
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact: Vec<&str> = acme.contact.iter().map(String::as_str).collect();
    let new = NewAccount {
        contact: &contact,
        // The configuration insists on the operator's agreement.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder.create(&new, directory.to_owned(), None).await?;
    kept.put_account(directory, credentials)?;
    Ok(account)
}

/// A certificate for these names: its chain and its key, PEM.
pub(super) async fn certificate(
    account: &Account,
    names: &[String],
    certificates: &Arc<Certificates>,
) -> Result<String, OrderError> {
    let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let answers = answer(&mut order, certificates).await?;
    let patience = RetryPolicy::new().timeout(PATIENCE);
    let status = order.poll_ready(&patience).await?;
    drop(answers);
    if status != OrderStatus::Ready {
        return Err(OrderError::Refused(reason(&mut order).await?));
    }
    let key = KeyPair::generate()?;
    let mut request = CertificateParams::new(names)?;
    request.distinguished_name = DistinguishedName::new();
    order
        .finalize_csr(request.serialize_request(&key)?.der())
        .await?;
    let chain = order.poll_certificate(&patience).await?;
    Ok(format!("{chain}\n{}", key.serialize_pem()))
}

/// Answers all challenges that are open, and tells the authority to look.
async fn answer(
    order: &mut Order,
    certificates: &Arc<Certificates>,
) -> Result<Vec<Answer>, OrderError> {
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = authorization.identifier().to_string();
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(OrderError::NoChallenge(name));
        };
        let digest = challenge.key_authorization().digest().as_ref().to_vec();
        let made = challenge_certificate(&name, &digest)?;
        answers.push(certificates.answer(name, made));
        challenge.set_ready().await?;
    }
    Ok(answers)
}

/// The certificate of RFC 8737 section 3: self-signed, for one name, with the digest in it.
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, OrderError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let signed = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let loaded = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key.into())
        .map_err(TlsError::SetUp)
        .map_err(OrderError::Unusable)?;
    // Not checked against each other: a critical extension that only authorities know is no certificate to the library.
    Ok(CertifiedKey::new(vec![signed.der().clone()], loaded))
}

/// What the authority says of the names it could not reach, as its own sentences.
async fn reason(order: &mut Order) -> Result<String, OrderError> {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let state = authorization.refresh().await?;
        let problem = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            reasons.push(format!("{}: {problem}", state.identifier()));
        }
    }
    if reasons.is_empty() {
        reasons.push("the order without a reason".to_owned());
    }
    Ok(reasons.join("; "))
}
