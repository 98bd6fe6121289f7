//! Compact JSON Web Signatures (RFC 7515), as far as push services use them: HS256, ES256 and RS256 (RFC 7518).
//!
//! Only making and splitting tokens lives here; what their claims mean is said where they are used
//! (`beams_token`, and the gateways' `auth` modules).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Serialize;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The text is no PEM with the label `PRIVATE KEY`.
    #[error("it is no PEM file with a `-----BEGIN PRIVATE KEY-----` block (PKCS#8)")]
    NotPem,
    /// The PEM holds no key of the kind wanted.
    #[error("it holds no {0} private key")]
    WrongKind(&'static str),
}

/// Signing failed inside the cryptographic library, which only happens when it is out of memory or entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token could not be signed")]
pub struct SigningFailed;

fn signing_input<H: Serialize, C: Serialize>(
    header: &H,
    claims: &C,
) -> Result<String, SigningFailed> {
    let header = serde_json::to_vec(header).map_err(|_| SigningFailed)?;
    let claims = serde_json::to_vec(claims).map_err(|_| SigningFailed)?;
    let mut text = URL_SAFE_NO_PAD.encode(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    Ok(text)
}

fn append_signature(mut text: String, signature: &[u8]) -> String {
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    text
}

/// Signs with HMAC-SHA-256 under the bytes of `key`.
pub fn sign_hs256<H: Serialize, C: Serialize>(
    key: &[u8],
    header: &H,
    claims: &C,
) -> Result<String, SigningFailed> {
    let text = signing_input(header, claims)?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    Ok(append_signature(text, tag.as_ref()))
}

/// A token taken apart, not yet believed.
#[derive(Debug)]
pub struct Unverified<'a> {
    signed: &'a str,
    /// The header, as JSON bytes.
    pub header: Vec<u8>,
    /// The claims, as JSON bytes.
    pub claims: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Splits a compact token. `None` where it has not three parts of canonical base64url.
    pub fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        Some(Self {
            signed,
            header: decode(header)?,
            claims: decode(claims)?,
            signature: decode(signature)?,
        })
    }

    /// Whether the signature is HMAC-SHA-256 under the bytes of `key`; compared in constant time.
    pub fn is_signed_hs256(&self, key: &[u8]) -> bool {
        hmac::verify(
            &hmac::Key::new(hmac::HMAC_SHA256, key),
            self.signed.as_bytes(),
            &self.signature,
        )
        .is_ok()
    }
}

/// A P-256 key that signs ES256: an APNs key, or an instance's VAPID key.
// AWS-LC wipes what it frees, its keys among it.
#[derive(zeroize::ZeroizeOnDrop)]
pub struct Es256Key {
    #[zeroize(skip)]
    pair: EcdsaKeyPair,
    pkcs8: zeroize::Zeroizing<Vec<u8>>,
}

impl Es256Key {
    /// A new random key.
    pub fn generate() -> Result<Self, SigningFailed> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| SigningFailed)?;
        Self::from_pkcs8(pkcs8.as_ref()).map_err(|_| SigningFailed)
    }

    /// From a PKCS#8 document (DER).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, InvalidKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
            .map_err(|_| InvalidKey::WrongKind("P-256"))?;
        Ok(Self {
            pair,
            pkcs8: zeroize::Zeroizing::new(der.to_vec()),
        })
    }

    /// From a PEM file, such as Apple's `AuthKey_….p8`.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        Self::from_pkcs8(&private_key_der(pem)?)
    }

    /// The key as a PKCS#8 document (DER), to be sealed and kept.
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The public key: an uncompressed point of 65 bytes.
    pub fn public_key(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Signs with ECDSA over P-256 and SHA-256.
    pub fn sign<H: Serialize, C: Serialize>(
        &self,
        header: &H,
        claims: &C,
    ) -> Result<String, SigningFailed> {
        let text = signing_input(header, claims)?;
        let signature = self
            .pair
            .sign(&SystemRandom::new(), text.as_bytes())
            .map_err(|_| SigningFailed)?;
        Ok(append_signature(text, signature.as_ref()))
    }
}

impl fmt::Debug for Es256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Es256Key(…)")
    }
}

/// An RSA key that signs RS256: that of a Google service account.
// AWS-LC wipes what it frees, its keys among it.
#[derive(zeroize::ZeroizeOnDrop)]
pub struct Rs256Key(#[zeroize(skip)] RsaKeyPair);

impl Rs256Key {
    /// From the PEM in a service-account file.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        RsaKeyPair::from_pkcs8(&private_key_der(pem)?)
            .map(Self)
            .map_err(|_| InvalidKey::WrongKind("RSA"))
    }

    /// The public key (DER), which tells two keys apart.
    pub fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256.
    pub fn sign<H: Serialize, C: Serialize>(
        &self,
        header: &H,
        claims: &C,
    ) -> Result<String, SigningFailed> {
        let text = signing_input(header, claims)?;
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .map_err(|_| SigningFailed)?;
        Ok(append_signature(text, &signature))
    }
}

impl fmt::Debug for Rs256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rs256Key(…)")
    }
}

fn private_key_der(pem: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, InvalidKey> {
    let (_, after) = pem
        .split_once("-----BEGIN PRIVATE KEY-----")
        .ok_or(InvalidKey::NotPem)?;
    let (body, _) = after
        .split_once("-----END PRIVATE KEY-----")
        .ok_or(InvalidKey::NotPem)?;
    let body: zeroize::Zeroizing<String> = body.split_ascii_whitespace().collect::<String>().into();
    STANDARD
        .decode(body.as_str())
        .map(zeroize::Zeroizing::new)
        .map_err(|_| InvalidKey::NotPem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hs256_signs_and_verifies() {
        let token = sign_hs256(
            b"key",
            &serde_json::json!({"alg": "HS256"}),
            &serde_json::json!({"sub": "u"}),
        )
        .unwrap();
        let split = Unverified::split(&token).unwrap();
        assert!(split.is_signed_hs256(b"key"));
        assert!(!split.is_signed_hs256(b"kez"));
        assert_eq!(split.claims, br#"{"sub":"u"}"#);
        // Shortening the signature by whole bytes is still base64url, and still wrong.
        let short = &token[..token.len() - 4];
        assert!(!Unverified::split(short).is_some_and(|t| t.is_signed_hs256(b"key")));
    }

    #[test]
    fn what_is_no_token_is_not_split() {
        for bad in ["", ".", "a.b", "a.b.c.d", "é.é.é", "e30.e30.e30="] {
            assert!(Unverified::split(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_generated_key_reads_back() {
        let key = Es256Key::generate().unwrap();
        let again = Es256Key::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(key.public_key(), again.public_key());
        assert_eq!(key.public_key().len(), 65);
        assert_eq!(
            Es256Key::from_pem("rubbish").unwrap_err(),
            InvalidKey::NotPem
        );
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(key.pkcs8())
        );
        assert!(Es256Key::from_pem(&pem).is_ok());
        assert_eq!(
            Rs256Key::from_pem(&pem).unwrap_err(),
            InvalidKey::WrongKind("RSA")
        );
    }
}
