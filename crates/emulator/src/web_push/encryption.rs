//! Opens messages as a browser does: RFC 8188 (aes128gcm) with the keys of RFC 8291.
//!
//! Knows only the receiving side; the product encrypts with code of its own. Invariant: whatever the bytes, the
//! answer is a clear text or a reason, never a panic.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::encoding::{AsBigEndian, EcPublicKeyUncompressedBin};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

use crate::Error;

const SALT_BYTES: usize = 16;
const RECORD_SIZE_BYTES: usize = 4;
/// An uncompressed point of P-256.
pub(super) const POINT_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 4;
const HEADER_BYTES: usize = SALT_BYTES + RECORD_SIZE_BYTES + 1 + POINT_BYTES;
const TAG_BYTES: usize = 16;
/// RFC 8188 section 2.1: a tag, a delimiter, and one byte at least.
const RECORD_SIZE_MIN: u32 = 18;
/// RFC 8188 section 2: the delimiter of the last record.
const LAST_RECORD: u8 = 2;
pub(super) const AUTH_BYTES: usize = 16;

/// An encrypted message taken apart.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    salt: &'a [u8],
    sender: &'a [u8],
    record: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Checks the header, and that there is one record as RFC 8291 section 4 wants it.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, &'static str> {
        let (header, record) = body
            .split_at_checked(HEADER_BYTES)
            .ok_or("short-encryption-header")?;
        let (salt, rest) = header.split_at(SALT_BYTES);
        let (size, rest) = rest.split_at(RECORD_SIZE_BYTES);
        let (id_len, sender) = rest.split_at(1);
        let size = size
            .iter()
            .fold(0, |size: u32, byte| size << 8 | u32::from(*byte));
        if size < RECORD_SIZE_MIN {
            return Err("bad-record-size");
        }
        if usize::from(id_len[0]) != POINT_BYTES || sender[0] != UNCOMPRESSED {
            return Err("bad-sender-key");
        }
        if record.len() <= TAG_BYTES || u32::try_from(record.len()).map_or(true, |len| len > size) {
            return Err("bad-record");
        }
        Ok(Self {
            salt,
            sender,
            record,
        })
    }
}

/// The keys of a subscription that the emulator itself made.
pub(crate) struct Keys {
    private: PrivateKey,
    public: Vec<u8>,
    auth: [u8; AUTH_BYTES],
}

impl Keys {
    pub(super) fn generate() -> Result<Self, Error> {
        let mut auth = [0; AUTH_BYTES];
        aws_lc_rs::rand::fill(&mut auth)?;
        Self::new(PrivateKey::generate(&ECDH_P256)?, auth)
    }

    fn new(private: PrivateKey, auth: [u8; AUTH_BYTES]) -> Result<Self, Error> {
        let public: EcPublicKeyUncompressedBin<'static> =
            private.compute_public_key()?.as_be_bytes()?;
        Ok(Self {
            private,
            public: public.as_ref().to_vec(),
            auth,
        })
    }

    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    pub(super) fn auth(&self) -> &[u8] {
        &self.auth
    }

    /// The clear text of `body`.
    pub(super) fn decrypt(&self, body: &[u8]) -> Result<Vec<u8>, &'static str> {
        let envelope = Envelope::parse(body)?;
        let (key, nonce) = self
            .content_keys(&envelope)
            .map_err(|_| "the sender's key is not a point of P-256")?;
        let mut record = envelope.record.to_vec();
        let clear = key
            .open_in_place(
                Nonce::assume_unique_for_key(nonce),
                Aad::empty(),
                &mut record,
            )
            .map_err(|_| "it cannot be decrypted with the subscription's keys")?;
        let end = clear
            .iter()
            .rposition(|byte| *byte != 0)
            .ok_or("it has no delimiter")?;
        if clear[end] != LAST_RECORD {
            return Err("its delimiter is not that of a last record");
        }
        Ok(clear[..end].to_vec())
    }

    /// RFC 8291 section 3.4.
    fn content_keys(&self, envelope: &Envelope<'_>) -> Result<(LessSafeKey, [u8; 12]), Error> {
        let sender = UnparsedPublicKey::new(&ECDH_P256, envelope.sender);
        let key = agree(&self.private, sender, Error::Crypto, |secret| {
            Ok(Salt::new(HKDF_SHA256, &self.auth).extract(secret))
        })?;
        let info: [&[u8]; 3] = [b"WebPush: info\0", &self.public, envelope.sender];
        let material: [u8; 32] = expand(&key, &info)?;
        let key = Salt::new(HKDF_SHA256, envelope.salt).extract(&material);
        let content: [u8; 16] = expand(&key, &[b"Content-Encoding: aes128gcm\0"])?;
        let nonce = expand(&key, &[b"Content-Encoding: nonce\0"])?;
        Ok((
            LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content)?),
            nonce,
        ))
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(key: &Prk, info: &[&[u8]]) -> Result<[u8; N], Error> {
    let mut out = [0; N];
    key.expand(info, Length(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    /// The receiver of RFC 8291 section 5.
    fn receiver() -> Keys {
        let private = decode("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94");
        let private = PrivateKey::from_private_key(&ECDH_P256, &private).unwrap();
        Keys::new(
            private,
            decode("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap(),
        )
        .unwrap()
    }

    const MESSAGE: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6\
        TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

    #[test]
    fn the_example_of_rfc_8291_opens() {
        let keys = receiver();
        let public = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        assert_eq!(keys.public(), decode(public));
        assert_eq!(
            keys.decrypt(&decode(MESSAGE)).unwrap(),
            b"When I grow up, I want to be a watermelon"
        );
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let keys = receiver();
        let message = decode(MESSAGE);
        for at in (0..message.len())
            .filter(|at| !(SALT_BYTES..SALT_BYTES + RECORD_SIZE_BYTES).contains(at))
        {
            let mut spoilt = message.clone();
            spoilt[at] ^= 1;
            assert!(keys.decrypt(&spoilt).is_err(), "byte {at}");
        }
        for end in 0..message.len() {
            assert!(keys.decrypt(&message[..end]).is_err(), "cut at {end}");
        }
    }
}
