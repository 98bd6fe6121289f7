//! Admin tokens: what a person or a script shows to manage a Heliostat, and how far it goes.
//!
//! A token is 256 random bits behind a prefix that people and secret scanners recognise. A store keeps its SHA-256 digest
//! alone: what nobody can guess needs no slow hash, which would only make every request slow, and a leaked digest cannot be
//! turned back. Must not know who asks for what; [`Scope`] only says what a token may.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::instance::InstanceId;

/// What every admin token begins with.
pub const ADMIN_TOKEN_PREFIX: &str = "hsa_";
/// How many random bytes a token has.
const RANDOM_LENGTH: usize = 32;
/// How many characters of a token may be shown, its prefix included: 24 of 256 bits.
const HINT_LENGTH: usize = ADMIN_TOKEN_PREFIX.len() + 4;
/// The longest name of an admin token, in bytes.
pub const ADMIN_TOKEN_NAME_LENGTH_MAX: usize = 100;
/// How many instances one token may be confined to.
pub const ADMIN_TOKEN_INSTANCES_MAX: usize = 100;

/// An admin token in the clear. `Debug` does not show it, and its memory is wiped when it is dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct AdminToken(Zeroizing<String>);

/// Why a string is no admin token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an admin token is `{ADMIN_TOKEN_PREFIX}` and 43 letters, digits, `-` and `_` behind it")]
pub struct InvalidAdminToken;

impl AdminToken {
    /// A new random token.
    pub fn random() -> Self {
        let bytes: Zeroizing<[u8; RANDOM_LENGTH]> = Zeroizing::new(rand::random());
        let mut text = Zeroizing::new(ADMIN_TOKEN_PREFIX.to_owned());
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Self(text)
    }

    /// Checks the form of a token.
    pub fn parse(text: &str) -> Result<Self, InvalidAdminToken> {
        let random = text
            .strip_prefix(ADMIN_TOKEN_PREFIX)
            .ok_or(InvalidAdminToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(random).map(Zeroizing::new);
        match bytes {
            Ok(bytes) if bytes.len() == RANDOM_LENGTH => Ok(Self(text.to_owned().into())),
            _ => Err(InvalidAdminToken),
        }
    }

    /// The token itself. Keep it out of logs.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> AdminTokenDigest {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, self.0.as_bytes()).as_ref());
        AdminTokenDigest(bytes)
    }

    /// What may be shown of it.
    pub fn hint(&self) -> String {
        format!("{}…", &self.0[..HINT_LENGTH])
    }
}

/// What every sign-in code begins with.
pub const SIGN_IN_CODE_PREFIX: &str = "hsl_";

/// The secret of a link by which somebody signs in once: as random as an admin token, and none, because nothing but the sign-in
/// page takes it. `Debug` does not show it.
#[derive(Clone)]
pub struct SignInCode(AdminToken);

impl SignInCode {
    /// A new random code.
    pub fn random() -> Self {
        let token = AdminToken::random();
        let random = &token.reveal()[ADMIN_TOKEN_PREFIX.len()..];
        Self(AdminToken(format!("{SIGN_IN_CODE_PREFIX}{random}").into()))
    }

    /// Checks the form of a code.
    pub fn parse(text: &str) -> Option<Self> {
        let random = text.strip_prefix(SIGN_IN_CODE_PREFIX)?;
        AdminToken::parse(&format!("{ADMIN_TOKEN_PREFIX}{random}")).ok()?;
        Some(Self(AdminToken(text.to_owned().into())))
    }

    /// The code itself. Keep it out of logs.
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// What is kept of it: of the whole text with its prefix, so that it is the digest of no admin token.
    pub fn digest(&self) -> AdminTokenDigest {
        self.0.digest()
    }

    /// What may be shown of it.
    pub fn hint(&self) -> String {
        self.0.hint()
    }
}

impl fmt::Debug for SignInCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignInCode(…)")
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// The SHA-256 digest of an admin token. Compared in constant time.
#[derive(Clone, Copy)]
pub struct AdminTokenDigest([u8; digest::SHA256_OUTPUT_LEN]);

impl AdminTokenDigest {
    /// The digest that a store kept; `None` where it has another length.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The digest, as a store keeps it.
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for AdminTokenDigest {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for AdminTokenDigest {}

impl fmt::Debug for AdminTokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminTokenDigest(…)")
    }
}

/// What people call an admin token: 1 to 100 bytes, no control characters. Need not be unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTokenName(String);

/// Why a string is no name of an admin token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of an admin token has 1 to {ADMIN_TOKEN_NAME_LENGTH_MAX} bytes and no control characters"
)]
pub struct InvalidAdminTokenName;

impl AdminTokenName {
    /// Checks a name.
    pub fn parse(name: impl Into<String>) -> Result<Self, InvalidAdminTokenName> {
        let name = name.into();
        if name.trim().is_empty()
            || name.len() > ADMIN_TOKEN_NAME_LENGTH_MAX
            || name.chars().any(char::is_control)
        {
            return Err(InvalidAdminTokenName);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which instances a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All, those to come included.
    All,
    /// These.
    Some(BTreeSet<InstanceId>),
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// To look.
    Read,
    /// To look and to change.
    Write,
}

impl Right {
    /// The word used in SQL, JSON and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }

    /// The right with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Read, Self::Write]
            .into_iter()
            .find(|right| right.as_str() == word)
    }
}

/// How far a token goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Which instances it is for.
    pub reach: Reach,
    /// What it is for there.
    pub right: Right,
}

impl Scope {
    /// Everything.
    pub const FULL: Self = Self {
        reach: Reach::All,
        right: Right::Write,
    };

    /// Whether it is for this instance.
    pub fn reaches(&self, instance: InstanceId) -> bool {
        match &self.reach {
            Reach::All => true,
            Reach::Some(instances) => instances.contains(&instance),
        }
    }

    /// Whether it is for all instances.
    pub fn reaches_all(&self) -> bool {
        self.reach == Reach::All
    }

    /// Whether it may change what it reaches.
    pub fn may_write(&self) -> bool {
        self.right == Right::Write
    }

    /// Whether it may do everything, such as making further tokens.
    pub fn is_full(&self) -> bool {
        self.reaches_all() && self.may_write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_form_and_is_not_shown() {
        let token = AdminToken::random();
        assert_eq!(token.reveal().len(), 47);
        let again = AdminToken::parse(token.reveal()).unwrap();
        assert_eq!(again.digest(), token.digest());
        assert!(token.reveal().starts_with(&token.hint()[..8]));
        assert_eq!(token.hint().chars().count(), 9);
        let shown = format!("{token:?} {:?}", token.digest());
        assert_eq!(shown, "AdminToken(…) AdminTokenDigest(…)");
        assert_ne!(AdminToken::random().digest(), token.digest());
        let longer = format!("{}A", token.reveal());
        for bad in [
            "",
            "hsa_",
            &token.reveal()[..46],
            &longer,
            "HSA_x",
            &token.reveal()[4..],
        ] {
            assert!(AdminToken::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_is_sha_256() {
        let token = AdminToken::parse(&format!("hsa_{}", "A".repeat(43))).unwrap();
        let hex: String = token
            .digest()
            .as_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        // printf 'hsa_AAA…' | sha256sum
        assert_eq!(
            hex,
            "7dcaa74d5d94b4d5b8f8bbd6104e0bab000e05efe49e0d474dfae4137c42ae7f"
        );
        assert!(AdminTokenDigest::from_stored(&[0; 31]).is_none());
    }

    #[test]
    fn a_sign_in_code_is_no_admin_token() {
        let code = SignInCode::random();
        let again = SignInCode::parse(code.reveal()).unwrap();
        assert_eq!(again.digest(), code.digest());
        assert!(AdminToken::parse(code.reveal()).is_err());
        let twin = code
            .reveal()
            .replace(SIGN_IN_CODE_PREFIX, ADMIN_TOKEN_PREFIX);
        assert_ne!(AdminToken::parse(&twin).unwrap().digest(), code.digest());
        assert!(code.hint().starts_with(SIGN_IN_CODE_PREFIX) && code.hint().len() < 12);
        assert_eq!(format!("{code:?}"), "SignInCode(…)");
        for wrong in ["", "hsl_", twin.as_str(), "hsl_AAAA", &code.reveal()[1..]] {
            assert!(SignInCode::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn scopes() {
        let (one, other) = (InstanceId::random(), InstanceId::random());
        let confined = Scope {
            reach: Reach::Some(BTreeSet::from([one])),
            right: Right::Write,
        };
        assert!(confined.reaches(one) && !confined.reaches(other) && !confined.is_full());
        assert!(Scope::FULL.is_full() && Scope::FULL.reaches(other));
        let looks = Scope {
            right: Right::Read,
            ..Scope::FULL
        };
        assert!(looks.reaches_all() && !looks.is_full() && !looks.may_write());
        assert_eq!(Right::parse("write"), Some(Right::Write));
        assert_eq!(Right::parse("all"), None);
    }
}
