//! A publish in lines: the first line, and what may stand behind it.

use domain::interest::INTEREST_NAME_LENGTH_MAX;
use domain::payload::Values;
use domain::publish::{AudienceKind, Line, PublishLines};
use domain::user::USER_ID_LENGTH_MAX;

/// Checks a byte that says which kind of audience, and the lines.
///
/// # Panics
/// If an invariant does not hold.
pub fn check(data: &[u8]) {
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let kind = if first & 1 == 0 {
        AudienceKind::Interests
    } else {
        AudienceKind::Users
    };
    let mut lines = body.split(|byte| *byte == b'\n');
    let Ok(publish) = PublishLines::parse(kind, lines.next().unwrap_or_default()) else {
        return;
    };
    let template = &publish.request().payloads.template;
    assert!(template.is_none() || kind == AudienceKind::Users);
    for line in lines {
        match publish.line(line) {
            Ok(Line::User(user, values)) => {
                assert_eq!(kind, AudienceKind::Users);
                assert!((1..=USER_ID_LENGTH_MAX).contains(&user.as_str().chars().count()));
                let values = values.unwrap_or_default();
                let stored = Values::from_stored(&values.as_json());
                assert_eq!(stored.as_ref(), Some(&values), "values read back");
                if let Some(template) = template
                    && let Ok(filled) = template.fill(&values)
                {
                    // Filled payloads are such as could have been published: they are stored and read like any.
                    let stored = serde_json::to_string(&filled).expect("it is written");
                    let again: domain::payload::Payloads =
                        serde_json::from_str(&stored).expect("it reads back");
                    assert_eq!(
                        filled.platforms().collect::<Vec<_>>(),
                        again.platforms().collect::<Vec<_>>()
                    );
                    assert_eq!(
                        filled.platforms().collect::<Vec<_>>(),
                        publish.request().payloads.platforms().collect::<Vec<_>>()
                    );
                }
            }
            Ok(Line::Interest(name)) => {
                assert_eq!(kind, AudienceKind::Interests);
                assert!((1..=INTEREST_NAME_LENGTH_MAX).contains(&name.as_str().len()));
            }
            Err(why) => assert!(why.to_string().len() < 400, "{why}"),
        }
    }
}
