//! Interests and users in the paths of requests: decoded once, and never anything but what their own rules allow.

use domain::interest::InterestName;
use domain::user::UserId;
use server::fuzzing::{interest_path, user_path};

use crate::verdict::Verdict;

const DEVICE: &str = "/device_api/v1/instances/8f9a6e22-2483-49aa-8552-125f1a4c5781/devices/web/\
                      web-8f9a6e22-2483-49aa-8552-125f1a4c5781/interests/";
const USERS: &str = "/customer_api/v1/instances/8f9a6e22-2483-49aa-8552-125f1a4c5781/users/";

/// Checks a byte that says what the rest is: the end of a path with an interest or a user, a whole path, or a name that is
/// to be encoded.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) -> Verdict {
    let Some((mode, rest)) = data.split_first() else {
        return Verdict::UNREAD;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return Verdict::UNREAD;
    };
    Verdict::taken_if(match mode & 3 {
        0 => {
            let found = interest_path(&format!("{DEVICE}{text}"));
            if let Some((_, _, interest)) = &found {
                let decoded = decode(path_of(text), false).expect("UTF-8");
                assert_eq!(interest.as_str(), decoded, "decoded once");
                assert!(InterestName::parse(decoded).is_ok());
            }
            found.is_some()
        }
        1 => [false, true].into_iter().all(|as_form| {
            let found = user_path(&format!("{USERS}{text}"), as_form);
            if let Some(user) = &found {
                let decoded = decode(path_of(text), as_form).expect("UTF-8");
                assert_eq!(user.as_str(), decoded, "decoded once");
            }
            found.is_some()
        }),
        2 => interest_path(text).is_some() || user_path(text, mode & 4 == 0).is_some(),
        _ => encoded(text),
    })
}

/// Every name that is one arrives as itself, however its caller encodes it. Whether it is one.
fn encoded(text: &str) -> bool {
    let hex = |byte: u8| format!("%{byte:02x}");
    let all: String = text.bytes().map(hex).collect();
    // As the URI component function of browsers does.
    let some: String = text
        .bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
                char::from(byte).to_string()
            } else {
                hex(byte)
            }
        })
        .collect();
    if let Ok(user) = UserId::parse(text) {
        for path in [&all, &some] {
            let found = user_path(&format!("{USERS}{path}"), false);
            assert_eq!(found.as_ref(), Some(&user));
        }
        let form = some.replace("%20", "+");
        assert_eq!(user_path(&format!("{USERS}{form}"), true), Some(user));
    }
    let interest = InterestName::parse(text).ok();
    if let Some(interest) = &interest {
        for path in [all.as_str(), some.as_str(), text] {
            let found = interest_path(&format!("{DEVICE}{path}")).map(|(_, _, interest)| interest);
            assert_eq!(found.as_ref(), Some(interest));
        }
    }
    interest.is_some() || UserId::parse(text).is_ok()
}

/// What stands before the query and the fragment.
fn path_of(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

/// Percent-decoding of its own. `None` where it is no UTF-8.
fn decode(text: &str, as_form: bool) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = text
            .get(at + 1..at + 3)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match (bytes[at], digits) {
            (b'%', Some(digits)) => {
                decoded.push(u8::from_str_radix(digits, 16).ok()?);
                at += 3;
            }
            (b'+', _) if as_form => {
                decoded.push(b' ');
                at += 1;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}
