//! A publish as lines of JSON: the first is the publish without its audience, each further one names a user, with values of
//! the user's own if there are any, or an interest.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::{
    Audience, AudienceKind, INTERESTS_BODY_LENGTH_MAX, InvalidPublish, PUBLISH_BODY_LENGTH_MAX,
    PublishError, PublishRequest,
};
use crate::interest::InterestName;
use crate::payload::RawObject;
use crate::payload::template::Values;
use crate::user::UserId;

/// The first line of a publish, checked but for its times.
#[derive(Debug)]
pub struct PublishLines {
    kind: AudienceKind,
    request: PublishRequest,
}

/// A further line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A user, and the values that fill the payload's places.
    User(UserId, Option<Values>),
    /// An interest.
    Interest(InterestName),
}

/// Why a further line cannot be taken. It does not show what stands in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidLine(String);

impl InvalidLine {
    fn of(why: &dyn std::error::Error) -> Self {
        Self(why.to_string())
    }
}

impl PublishLines {
    /// Checks the first line of a publish to this kind of audience.
    pub fn parse(kind: AudienceKind, first: &[u8]) -> Result<Self, PublishError> {
        let max = match kind {
            AudienceKind::Interests => INTERESTS_BODY_LENGTH_MAX,
            AudienceKind::Users => PUBLISH_BODY_LENGTH_MAX,
        };
        if first.len() > max {
            return Err(PublishError::TooLarge { max });
        }
        let fields: RawObject =
            serde_json::from_slice(first).map_err(|_| PublishError::NotAnObject)?;
        for name in ["users", "interests"] {
            if fields.contains_key(name) {
                let rule = "must not be in the first line; each line behind it names one";
                return Err(InvalidPublish::new(name, rule).into());
            }
        }
        let nobody = Audience::Interests(BTreeSet::new());
        let request = PublishRequest::of(fields, nobody, kind == AudienceKind::Users, first)?;
        Ok(Self { kind, request })
    }

    /// Checks a further line.
    pub fn line(&self, line: &[u8]) -> Result<Line, InvalidLine> {
        let (field, may_have_values) = match self.kind {
            AudienceKind::Interests => ("interest", false),
            AudienceKind::Users => ("user", true),
        };
        let rule = || {
            let values = if may_have_values {
                " and may have `values`"
            } else {
                ""
            };
            InvalidLine(format!(
                "it must be a string, or an object that has `{field}`{values}"
            ))
        };
        let (name, values) = match line.trim_ascii_start().first() {
            Some(b'"') => (serde_json::from_slice(line).map_err(|_| rule())?, None),
            _ => named(line, field, may_have_values).ok_or_else(rule)?,
        };
        match self.kind {
            AudienceKind::Interests => InterestName::parse(name)
                .map(Line::Interest)
                .map_err(|error| InvalidLine::of(&error)),
            AudienceKind::Users => {
                let user = UserId::parse(name).map_err(|error| InvalidLine::of(&error))?;
                let values = values.map(|raw| Values::parse(&raw)).transpose();
                let values = values.map_err(|error| InvalidLine(format!("`values` {error}")))?;
                Ok(Line::User(user, values))
            }
        }
    }

    /// What the first line asks for; its audience is nobody.
    pub const fn request(&self) -> &PublishRequest {
        &self.request
    }

    /// The request, for this audience.
    pub fn into_request(self, audience: Audience) -> PublishRequest {
        PublishRequest {
            audience,
            ..self.request
        }
    }
}

/// The name that an object has in `field`, and its values. `None` if it has another form, or fields besides.
fn named(
    line: &[u8],
    field: &str,
    may_have_values: bool,
) -> Option<(String, Option<Box<RawValue>>)> {
    let mut fields: RawObject = serde_json::from_slice(line).ok()?;
    let name = serde_json::from_str(fields.remove(field)?.get()).ok()?;
    let values = if may_have_values {
        fields.remove("values").filter(|raw| raw.get() != "null")
    } else {
        None
    };
    fields.is_empty().then_some((name, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = br#"{"web":{"notification":{"title":"Hi {{name}}"}},"dryRun":true}"#;

    #[test]
    fn users_and_their_values() {
        let lines = PublishLines::parse(AudienceKind::Users, FIRST).unwrap();
        assert!(lines.request().dry_run && lines.request().payloads.template.is_some());
        let Line::User(user, values) = lines
            .line(br#" {"user":"ann","values":{"name":"Ann"}}"#)
            .unwrap()
        else {
            panic!("a user")
        };
        assert_eq!(user.as_str(), "ann");
        assert!(!values.unwrap().is_empty());
        for bare in [
            &br#""bob""#[..],
            br#"{"user":"bob"}"#,
            br#"{"user":"bob","values":null}"#,
        ] {
            assert_eq!(
                lines.line(bare),
                Ok(Line::User(UserId::parse("bob").unwrap(), None))
            );
        }
        for bad in [
            "bob",
            "7",
            "[]",
            "{}",
            r#"{"user":7}"#,
            r#"{"user":""}"#,
            r#"{"interest":"x"}"#,
            r#"{"user":"x","value":{}}"#,
            r#"{"user":"x","values":[]}"#,
            r#"{"user":"x"} {"user":"y"}"#,
        ] {
            assert!(lines.line(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn interests_have_no_values_and_no_places() {
        let lines = PublishLines::parse(AudienceKind::Interests, FIRST).unwrap();
        assert!(lines.request().payloads.template.is_none());
        assert!(matches!(lines.line(br#""a""#), Ok(Line::Interest(_))));
        assert!(matches!(
            lines.line(br#"{"interest":"a"}"#),
            Ok(Line::Interest(_))
        ));
        for bad in [
            r#""a b""#,
            r#"{"interest":"a","values":{}}"#,
            r#"{"user":"a"}"#,
        ] {
            assert!(lines.line(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_first_line_names_nobody() {
        for bad in [
            "[]",
            "{}",
            r#"{"users":["a"],"web":{"notification":{}}}"#,
            r#"{"web":{"notification":{"title":"{{a b}}"}}}"#,
        ] {
            assert!(
                PublishLines::parse(AudienceKind::Users, bad.as_bytes()).is_err(),
                "{bad}"
            );
        }
    }
}
