//! Beams tokens: what is believed, what is not, and that nothing from outside panics.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::beams_token::{BEAMS_TOKEN_LENGTH_MAX, BeamsTokenError, beams_issuer, sign, verify};
use domain::clock::Timestamp;
use domain::instance::{InstanceId, SecretKey};
use domain::jws::sign_hs256;
use domain::user::UserId;
use proptest::prelude::*;
use serde_json::{Value, json};

const PUBLIC_URL: &str = "https://push.example.com";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn instance() -> InstanceId {
    InstanceId::parse("8f9a6e22-2483-49aa-8552-125f1a4c5781").unwrap()
}

fn key() -> SecretKey {
    SecretKey::parse("C7C7A52E9F4E4A4E9F1F5E4A4E9F1F5E").unwrap()
}

fn check(token: &str) -> Result<UserId, BeamsTokenError> {
    verify(token, &instance(), [&key()], PUBLIC_URL, NOW)
}

fn claims() -> Value {
    json!({"sub": "alice", "iss": beams_issuer(&instance()), "exp": NOW.as_secs() + 3600})
}

fn signed(header: &Value, claims: &Value) -> String {
    sign_hs256(key().reveal().as_bytes(), header, claims).unwrap()
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    signed(&json!({"alg": "HS256"}), &claims)
}

#[test]
fn what_an_sdk_signs_is_believed() {
    let user = UserId::parse("alice").unwrap();
    let token = sign(
        &instance(),
        &key(),
        &user,
        Timestamp::from_secs(NOW.as_secs() + 10),
    )
    .unwrap();
    assert_eq!(check(&token), Ok(user));
}

#[test]
fn any_active_key_may_have_signed() {
    let token = with("sub", "bob".into());
    let other = SecretKey::parse("other").unwrap();
    assert!(verify(&token, &instance(), [&other, &key()], PUBLIC_URL, NOW).is_ok());
    assert!(verify(&token, &instance(), [&key(), &other], PUBLIC_URL, NOW).is_ok());
    assert_eq!(
        verify(&token, &instance(), [&other], PUBLIC_URL, NOW),
        Err(BeamsTokenError::BadSignature)
    );
    assert_eq!(
        verify(&token, &instance(), [], PUBLIC_URL, NOW),
        Err(BeamsTokenError::BadSignature)
    );
}

#[test]
fn the_issuer_is_this_instance() {
    let id = instance();
    for fine in [
        beams_issuer(&id),
        beams_issuer(&id).to_uppercase().replace("HTTPS", "https"),
        PUBLIC_URL.into(),
        format!("{PUBLIC_URL}/"),
        format!("{PUBLIC_URL}/instances/{id}"),
    ] {
        assert!(check(&with("iss", fine.clone().into())).is_ok(), "{fine}");
    }
    for wrong in [
        "https://00000000-0000-4000-8000-000000000000.pushnotifications.pusher.com".into(),
        format!("https://{id}.pushnotifications.pusher.com.evil.example"),
        format!("http://{id}.pushnotifications.pusher.com"),
        format!("{PUBLIC_URL}/instances/00000000-0000-4000-8000-000000000000"),
        "https://evil.example".into(),
        String::new(),
    ] {
        assert_eq!(
            check(&with("iss", wrong.clone().into())),
            Err(BeamsTokenError::WrongIssuer),
            "{wrong}"
        );
    }
}

#[test]
fn the_algorithm_is_fixed() {
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "HS512"}),
        json!({"alg": "hs256"}),
        json!({"alg": "RS256"}),
    ] {
        assert_eq!(
            check(&signed(&header, &claims())),
            Err(BeamsTokenError::WrongAlgorithm),
            "{header}"
        );
    }
    assert_eq!(
        check(&signed(&json!({"typ": "JWT"}), &claims())),
        Err(BeamsTokenError::Malformed)
    );
    for critical in [json!(["exp"]), json!(null), json!([])] {
        let header = json!({"alg": "HS256", "crit": critical});
        assert_eq!(
            check(&signed(&header, &claims())),
            Err(BeamsTokenError::WrongAlgorithm),
            "{header}"
        );
    }
    assert_eq!(
        check(&signed(&json!(["HS256"]), &claims())),
        Err(BeamsTokenError::Malformed)
    );
}

#[test]
fn what_a_token_says_of_its_key_is_not_listened_to() {
    let own = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode("evil"), "alg": "HS256"});
    let naming = json!({
        "alg": "HS256", "kid": "../../etc/passwd", "jku": "https://evil.example", "jwk": own, "x5u": "https://evil.example",
        "x5c": ["MIIB"], "x5t": "e30", "typ": "nonsense",
    });
    assert!(check(&signed(&naming, &claims())).is_ok());
    let by_its_own = sign_hs256(b"evil", &naming, &claims()).unwrap();
    assert_eq!(check(&by_its_own), Err(BeamsTokenError::BadSignature));
}

#[test]
fn without_a_signature_it_is_nothing() {
    let token = with("sub", "alice".into());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(
        check(&format!("{signed}.")),
        Err(BeamsTokenError::BadSignature)
    );
    let half = URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode(signature).unwrap()[..16]);
    assert_eq!(
        check(&format!("{signed}.{half}")),
        Err(BeamsTokenError::BadSignature)
    );
    assert_eq!(check(signed), Err(BeamsTokenError::Malformed));
    let huge = with("sub", "x".repeat(BEAMS_TOKEN_LENGTH_MAX).into());
    assert_eq!(check(&huge), Err(BeamsTokenError::Malformed));
}

#[test]
fn claims_have_the_right_types_once() {
    for (name, value) in [
        ("exp", json!("1900000000")),
        ("exp", json!(null)),
        ("exp", json!(true)),
        ("sub", json!(7)),
        ("sub", json!(["alice"])),
        ("iss", json!({})),
        ("nbf", json!("soon")),
    ] {
        assert_eq!(
            check(&with(name, value.clone())),
            Err(BeamsTokenError::BadClaims),
            "{name}: {value}"
        );
    }
    for name in ["sub", "iss", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert_eq!(
            check(&signed(&json!({"alg": "HS256"}), &claims)),
            Err(BeamsTokenError::BadClaims),
            "{name}"
        );
    }
    let iss = beams_issuer(&instance());
    let listed = json!(["alice", iss, 1_900_000_000]);
    assert_eq!(
        check(&signed(&json!({"alg": "HS256"}), &listed)),
        Err(BeamsTokenError::BadClaims)
    );
    let twice = format!(r#"{{"sub":"alice","sub":"bob","iss":"{iss}","exp":1900000000}}"#);
    let raw = serde_json::value::RawValue::from_string(twice).unwrap();
    let token = sign_hs256(key().reveal().as_bytes(), &json!({"alg": "HS256"}), &raw).unwrap();
    assert_eq!(check(&token), Err(BeamsTokenError::BadClaims));
    assert!(matches!(
        check(&with("sub", "".into())),
        Err(BeamsTokenError::BadUser(_))
    ));
    assert!(matches!(
        check(&with("sub", "u".repeat(165).into())),
        Err(BeamsTokenError::BadUser(_))
    ));
}

#[test]
fn time_is_kept_with_a_small_leeway() {
    let now = NOW.as_secs();
    assert!(check(&with("exp", json!(now - 59))).is_ok());
    assert_eq!(
        check(&with("exp", json!(now - 60))),
        Err(BeamsTokenError::Expired)
    );
    assert_eq!(
        check(&with("exp", json!(-1))),
        Err(BeamsTokenError::Expired)
    );
    assert!(check(&with("exp", json!(4_707_992_302_i64))).is_ok());
    assert!(check(&with("exp", json!(now as f64 + 0.5))).is_ok());
    assert_eq!(
        check(&with("nbf", json!(now + 61))),
        Err(BeamsTokenError::Expired)
    );
}

proptest! {
    #[test]
    fn nothing_from_outside_panics(token in "\\PC{0,300}") {
        prop_assert!(check(&token).is_err());
    }

    #[test]
    fn no_flipped_bit_is_believed(position in 0usize..200, bit in 0u8..7) {
        let token = with("sub", "alice".into());
        let mut bytes = token.clone().into_bytes();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(changed == token || check(&changed).is_err());
        }
    }
}
