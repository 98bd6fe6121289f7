//! Encryption of push messages for one browser: RFC 8291 on top of RFC 8188, a single `aes128gcm` record.
//!
//! Each message has a fresh key pair and salt, as RFC 8291 section 3.1 wants it. Knows nothing of HTTP.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use bytes::Bytes;
use domain::payload::web::WEB_PLAINTEXT_LENGTH_MAX;

/// The record size that is declared. RFC 8291 section 4: larger than the one record there is.
const RECORD_SIZE: u32 = 4096;
const SALT_LENGTH: usize = 16;
const KEY_LENGTH: usize = 16;
const NONCE_LENGTH: usize = 12;
const TAG_LENGTH: usize = 16;
/// Ends the clear text of the last record. RFC 8188 section 2.
const LAST_RECORD: u8 = 2;

/// Why a message cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EncryptError {
    /// The clear text does not fit the 4096 bytes that push services must take.
    TooLong,
    /// The browser's key is no point on the curve.
    Key,
}

impl From<Unspecified> for EncryptError {
    fn from(_: Unspecified) -> Self {
        Self::Key
    }
}

/// A length of key material, for HKDF.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Encrypts a message for the browser with this public key and authentication secret.
pub(super) fn encrypt(plaintext: &[u8], p256dh: &[u8], auth: &[u8]) -> Result<Bytes, EncryptError> {
    let mut salt = [0; SALT_LENGTH];
    rand::fill(&mut salt)?;
    encrypt_with(
        plaintext,
        p256dh,
        auth,
        &PrivateKey::generate(&ECDH_P256)?,
        &salt,
    )
}

fn encrypt_with(
    plaintext: &[u8],
    p256dh: &[u8],
    auth: &[u8],
    own_key: &PrivateKey,
    salt: &[u8; SALT_LENGTH],
) -> Result<Bytes, EncryptError> {
    if plaintext.len() > WEB_PLAINTEXT_LENGTH_MAX {
        return Err(EncryptError::TooLong);
    }
    let own_public = own_key.compute_public_key()?;
    let keying = keying_material(p256dh, auth, own_key, own_public.as_ref())?;
    seal(&keying, salt, own_public.as_ref(), plaintext)
}

/// RFC 8188 section 2: a header and one record.
fn seal(
    keying: &[u8],
    salt: &[u8; SALT_LENGTH],
    key_id: &[u8],
    plaintext: &[u8],
) -> Result<Bytes, EncryptError> {
    let pseudo_random = Salt::new(HKDF_SHA256, salt).extract(keying);
    let mut key = [0; KEY_LENGTH];
    pseudo_random
        .expand(&[b"Content-Encoding: aes128gcm\0"], Length(KEY_LENGTH))?
        .fill(&mut key)?;
    let mut nonce = [0; NONCE_LENGTH];
    pseudo_random
        .expand(&[b"Content-Encoding: nonce\0"], Length(NONCE_LENGTH))?
        .fill(&mut nonce)?;

    let header_length = SALT_LENGTH + 4 + 1 + key_id.len();
    let mut message = Vec::with_capacity(header_length + plaintext.len() + 1 + TAG_LENGTH);
    message.extend_from_slice(salt);
    message.extend_from_slice(&RECORD_SIZE.to_be_bytes());
    message.push(u8::try_from(key_id.len()).map_err(|_| EncryptError::Key)?);
    message.extend_from_slice(key_id);
    message.extend_from_slice(plaintext);
    message.push(LAST_RECORD);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut message[header_length..])?;
    message.extend_from_slice(tag.as_ref());
    Ok(message.into())
}

/// RFC 8291 section 3.4: what the two key pairs agree on, bound to the authentication secret and both public keys.
fn keying_material(
    p256dh: &[u8],
    auth: &[u8],
    own_key: &PrivateKey,
    own_public: &[u8],
) -> Result<[u8; 32], EncryptError> {
    let theirs = UnparsedPublicKey::new(&ECDH_P256, p256dh);
    agree(own_key, theirs, EncryptError::Key, |shared| {
        let mut keying = [0; 32];
        Salt::new(HKDF_SHA256, auth)
            .extract(shared)
            .expand(
                &[b"WebPush: info\0", p256dh, own_public],
                Length(keying.len()),
            )?
            .fill(&mut keying)?;
        Ok(keying)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ece::{EcKeyComponents, generate_keypair_and_auth_secret};
    use proptest::prelude::*;

    /// Salt, record size, length of the key id, key id.
    const HEADER_LENGTH: usize = SALT_LENGTH + 4 + 1 + 65;

    fn decode(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    /// RFC 8188 section 3.1.
    #[test]
    fn the_example_of_rfc_8188_comes_out() {
        let salt: [u8; SALT_LENGTH] = decode("I1BsxtFttlv3u_Oo94xnmw").try_into().unwrap();
        let message = seal(
            &decode("yqdlZ-tYemfogSmv7Ws5PQ"),
            &salt,
            b"",
            b"I am the walrus",
        )
        .unwrap();
        let expected = "I1BsxtFttlv3u_Oo94xnmwAAEAAA-NAVub2qFgBEuQKRapoZu-IxkIva3MEB1PD-ly8Thjg";
        assert_eq!(URL_SAFE_NO_PAD.encode(&message), expected);
    }

    /// RFC 8291 section 5 and appendix A.
    #[test]
    fn the_example_of_rfc_8291_comes_out() {
        let own = decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let p256dh = decode(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        );
        let auth = decode("BTBZMqHH6r4Tts7J_aSIgg");
        let salt: [u8; SALT_LENGTH] = decode("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let text = b"When I grow up, I want to be a watermelon";
        let message = encrypt_with(text, &p256dh, &auth, &own, &salt).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz\
                        AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(&message), expected);
    }

    fn open(keys: &EcKeyComponents, auth: &[u8], message: &[u8]) -> Vec<u8> {
        ece::decrypt(keys, auth, message).unwrap()
    }

    #[test]
    fn each_message_has_its_own_key_and_salt() {
        let (pair, auth) = generate_keypair_and_auth_secret().unwrap();
        let p256dh = pair.pub_as_raw().unwrap();
        let one = encrypt(b"hello", &p256dh, &auth).unwrap();
        let two = encrypt(b"hello", &p256dh, &auth).unwrap();
        assert_ne!(one[..SALT_LENGTH], two[..SALT_LENGTH]);
        assert_ne!(
            one[SALT_LENGTH + 5..HEADER_LENGTH],
            two[SALT_LENGTH + 5..HEADER_LENGTH]
        );
    }

    #[test]
    fn what_is_too_long_or_no_point_is_refused() {
        let (pair, auth) = generate_keypair_and_auth_secret().unwrap();
        let p256dh = pair.pub_as_raw().unwrap();
        let longest = vec![b'x'; WEB_PLAINTEXT_LENGTH_MAX];
        let message = encrypt(&longest, &p256dh, &auth).unwrap();
        assert_eq!(message.len(), 4096);
        assert_eq!(
            open(&pair.raw_components().unwrap(), &auth, &message),
            longest
        );
        assert_eq!(
            encrypt(&[longest, vec![0]].concat(), &p256dh, &auth),
            Err(EncryptError::TooLong)
        );
        let mut off_curve = p256dh.clone();
        off_curve[40] ^= 1;
        for key in [&off_curve[..], &p256dh[..64], &[], &[0; 65]] {
            assert_eq!(encrypt(b"x", key, &auth), Err(EncryptError::Key));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_independent_implementation_decrypts_it(text in proptest::collection::vec(any::<u8>(), 1..WEB_PLAINTEXT_LENGTH_MAX)) {
            let (pair, auth) = generate_keypair_and_auth_secret().unwrap();
            let message = encrypt(&text, &pair.pub_as_raw().unwrap(), &auth).unwrap();
            prop_assert_eq!(open(&pair.raw_components().unwrap(), &auth, &message), text);
        }
    }
}
