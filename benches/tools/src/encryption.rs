//! RFC 8291 by itself: the least that a push to a browser costs.
//!
//! Written apart from the server's, so that the limit does not move with what it measures.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Result, anyhow};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// How many browsers take turns.
const BROWSERS: usize = 1000;

/// Encrypts in a loop.
#[derive(Debug, clap::Args)]
pub(crate) struct Encrypt {
    /// How many messages.
    #[arg(long)]
    count: usize,
    /// The length of each message's clear text, in bytes.
    #[arg(long)]
    length: usize,
}

struct Browser {
    public: Vec<u8>,
    auth: [u8; 16],
}

impl Browser {
    fn random() -> Result<Self, Unspecified> {
        let key = PrivateKey::generate(&ECDH_P256)?;
        let mut auth = [0; 16];
        rand::fill(&mut auth)?;
        Ok(Self {
            public: key.compute_public_key()?.as_ref().to_vec(),
            auth,
        })
    }
}

/// Prints `count` pairs of keys.
pub(crate) fn keys(count: usize) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for _ in 0..count {
        let browser = Browser::random().map_err(|_| anyhow!("no key could be made"))?;
        let (public, auth) = (
            URL_SAFE_NO_PAD.encode(browser.public),
            URL_SAFE_NO_PAD.encode(browser.auth),
        );
        writeln!(out, "{public} {auth}")?;
    }
    Ok(out.flush()?)
}

impl Encrypt {
    pub(crate) fn run(&self) -> Result<()> {
        let browsers: Vec<_> = (0..BROWSERS)
            .map(|_| Browser::random())
            .collect::<Result<_, _>>()
            .map_err(|_| anyhow!("no key could be made"))?;
        let plaintext = vec![b'x'; self.length];
        let began = Instant::now();
        let mut written = 0;
        for browser in browsers.iter().cycle().take(self.count) {
            let message = encrypt(&plaintext, browser).map_err(|_| anyhow!("encryption failed"))?;
            written += std::hint::black_box(message).len();
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{}",
            json!({"count": self.count, "seconds": seconds, "bytes": written})
        );
        Ok(())
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
) -> Result<[u8; N], Unspecified> {
    let mut out = [0; N];
    Salt::new(HKDF_SHA256, salt)
        .extract(secret)
        .expand(info, Length(N))?
        .fill(&mut out)?;
    Ok(out)
}

fn encrypt(plaintext: &[u8], browser: &Browser) -> Result<Vec<u8>, Unspecified> {
    let mut salt = [0; 16];
    rand::fill(&mut salt)?;
    let own = PrivateKey::generate(&ECDH_P256)?;
    let public = own.compute_public_key()?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &browser.public);
    let keying = agree(&own, theirs, Unspecified, |shared| {
        derive::<32>(
            &browser.auth,
            shared,
            &[b"WebPush: info\0", &browser.public, public.as_ref()],
        )
    })?;
    let prk = Salt::new(HKDF_SHA256, &salt).extract(&keying);
    let (mut key, mut nonce) = ([0; 16], [0; 12]);
    prk.expand(&[b"Content-Encoding: aes128gcm\0"], Length(16))?
        .fill(&mut key)?;
    prk.expand(&[b"Content-Encoding: nonce\0"], Length(12))?
        .fill(&mut nonce)?;
    let mut message = Vec::with_capacity(16 + 4 + 1 + 65 + plaintext.len() + 17);
    message.extend_from_slice(&salt);
    message.extend_from_slice(&4096_u32.to_be_bytes());
    message.push(65);
    message.extend_from_slice(public.as_ref());
    let head = message.len();
    message.extend_from_slice(plaintext);
    message.push(2);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut message[head..])?;
    message.extend_from_slice(tag.as_ref());
    Ok(message)
}
