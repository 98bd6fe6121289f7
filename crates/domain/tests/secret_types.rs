//! Every type of the domain that holds a secret: what is wiped from memory, what is shown by `Debug`, and what cannot be shown at all.
//!
//! That a type is wiped is checked by the compiler; a type that is wiped in part names the part that a library wipes.

use std::fmt::{Debug, Display};
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::admin_token::AdminToken;
use domain::credential::{ApnsCredential, Credential, FcmCredential};
use domain::instance::SecretKey;
use domain::jws::{Es256Key, Rs256Key};
use domain::seal::{Keyring, MasterKey};
use domain::webhook::{PublishWebhookUrl, Scheme, WebhookSecret};
use zeroize::ZeroizeOnDrop;

/// Asks of a type what it can, whether or not it can: an inherent constant goes before that of a trait.
struct Ask<T>(PhantomData<T>);

trait Cannot {
    const DISPLAYS: bool = false;
    const SERIALIZES: bool = false;
}

impl<T> Cannot for Ask<T> {}

impl<T: Display> Ask<T> {
    const DISPLAYS: bool = true;
}

/// The same for the other, since a type has one inherent constant of a name.
struct AskSerde<T>(PhantomData<T>);

impl<T> Cannot for AskSerde<T> {}

impl<T: serde::Serialize> AskSerde<T> {
    const SERIALIZES: bool = true;
}

/// Compiles for types alone that are wiped when they are dropped.
const fn wiped<T: ZeroizeOnDrop>() {}

macro_rules! kept_to_themselves {
    ($($of:ty),+ $(,)?) => {
        $(
            const _: () = {
                wiped::<$of>();
                assert!(!<Ask<$of>>::DISPLAYS, "a secret with a Display");
                assert!(!<AskSerde<$of>>::SERIALIZES, "a secret with a Serialize");
            };
        )+
    };
}

kept_to_themselves!(
    AdminToken,
    ApnsCredential,
    Es256Key,
    FcmCredential,
    Keyring,
    MasterKey,
    PublishWebhookUrl,
    Rs256Key,
    SecretKey,
    WebhookSecret,
);

// The questions are answered both ways.
const _: () = {
    assert!(<Ask<String>>::DISPLAYS && !<Ask<Vec<u8>>>::DISPLAYS);
    assert!(<AskSerde<Vec<u8>>>::SERIALIZES && !<AskSerde<SecretKey>>::SERIALIZES);
};

/// Whether nothing of a secret stands in what is shown, in any of the ways in which bytes are written.
fn hides(shown: &dyn Debug, secrets: &[&str]) {
    for shown in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(shown.len() < 200, "{shown}");
        for secret in secrets {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{:?}", secret.as_bytes());
            for form in [
                secret,
                &*STANDARD.encode(secret),
                &hex,
                list.trim_matches(['[', ']']),
            ] {
                assert!(!shown.contains(form), "{shown} has {form}");
            }
        }
    }
}

#[test]
fn no_debug_shows_a_secret() {
    let admin_token = AdminToken::random();
    hides(&admin_token, &[&admin_token.reveal()[5..20]]);
    let secret_key = SecretKey::parse("a-secret-of-an-instance".to_owned()).unwrap();
    hides(&secret_key, &["a-secret-of"]);
    let master_key = MasterKey::random();
    let text = master_key.to_base64();
    hides(&master_key, &[&text[..20]]);
    hides(&Keyring::from_base64(&text).unwrap(), &[&text[..20]]);
    for (scheme, text) in [
        (Scheme::Beams, "signed with this secret"),
        (Scheme::Standard, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ] {
        let secret = WebhookSecret::parse(scheme, text).unwrap();
        hides(&secret, &[text, &text[6..]]);
    }
    let url = PublishWebhookUrl::parse("https://app.example/x7q?token=hidden").unwrap();
    hides(&url, &["hidden", "x7q"]);

    let key = Es256Key::generate().unwrap();
    let der = STANDARD.encode(key.pkcs8());
    hides(&key, &[&der[60..80]]);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let apns = || ApnsCredential::parse("ABCDE12345", "FGHIJ67890", &pem).unwrap();
    hides(&apns(), &[&der[60..80]]);
    hides(&Credential::Apns(apns()), &[&der[60..80]]);
}
