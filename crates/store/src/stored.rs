//! How a publish stands in a database, whichever it is: its payloads as JSON, its audience as bytes.

pub(crate) mod accepting;
pub(crate) mod administration;
pub(crate) mod cache;
pub(crate) mod tries;

use std::sync::Arc;

use domain::publish::{Audience, Publish};

use crate::StoreError;
use crate::publishes::{NewPublish, ResolvedAudience};

/// How `payloads` and `audience` are written: JSON of `domain::payload::Payloads`, and what [`encode`] makes.
pub(crate) const FORMAT: i64 = 1;

/// A publish with its audience, as jobs and retries need it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) publish: Arc<Publish>,
    pub(crate) audience: Arc<ResolvedAudience>,
}

/// What the caller writes as JSON before anything is written.
#[derive(Debug)]
pub(crate) struct Texts {
    /// The payloads.
    pub(crate) payloads: String,
    /// The audience, of a publish that is to be sent later.
    pub(crate) scheduled: Option<String>,
    /// The interests that it names.
    pub(crate) interests: Option<String>,
}

impl Texts {
    pub(crate) fn of(new: &NewPublish) -> Result<Self, serde_json::Error> {
        let is_later = new.publish.send_at > new.publish.accepted_at;
        Ok(Self {
            payloads: serde_json::to_string(&new.publish.payloads)?,
            scheduled: is_later
                .then(|| serde_json::to_string(&new.audience))
                .transpose()?,
            interests: match &new.audience {
                Audience::Interests(names) => Some(serde_json::to_string(names)?),
                Audience::Users(_) | Audience::List(_) => None,
            },
        })
    }
}

/// One byte that tells interests (1) from users (2), failures (3) and lists of users (4), then each number in eight bytes, least significant first.
pub(crate) fn encode(audience: &ResolvedAudience) -> Vec<u8> {
    let (kind, numbers) = match audience {
        ResolvedAudience::Interests(numbers) => (1, numbers.as_slice()),
        ResolvedAudience::Users(numbers) => (2, numbers.as_slice()),
        ResolvedAudience::FailuresOf(publish) => (3, std::slice::from_ref(publish)),
        ResolvedAudience::Listed(list) => (4, std::slice::from_ref(list)),
    };
    let mut blob = Vec::with_capacity(1 + numbers.len() * 8);
    blob.push(kind);
    for number in numbers {
        blob.extend_from_slice(&number.to_le_bytes());
    }
    blob
}

/// What [`encode`] made.
pub(crate) fn decode(blob: &[u8]) -> Result<ResolvedAudience, StoreError> {
    let corrupt = || StoreError::Corrupt("the audience of a publish".into());
    let (kind, rest) = blob.split_first().ok_or_else(corrupt)?;
    let (chunks, []) = rest.as_chunks::<8>() else {
        return Err(corrupt());
    };
    let numbers: Vec<i64> = chunks
        .iter()
        .map(|chunk| i64::from_le_bytes(*chunk))
        .collect();
    match (kind, numbers.as_slice()) {
        (1, _) => Ok(ResolvedAudience::Interests(numbers)),
        (2, _) => Ok(ResolvedAudience::Users(numbers)),
        (3, [publish]) => Ok(ResolvedAudience::FailuresOf(*publish)),
        (4, [list]) => Ok(ResolvedAudience::Listed(*list)),
        _ => Err(corrupt()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_reads_back_and_damage_is_told() {
        for audience in [
            ResolvedAudience::Interests(vec![1, 7, i64::MAX]),
            ResolvedAudience::Users(vec![]),
            ResolvedAudience::FailuresOf(9),
            ResolvedAudience::Listed(3),
        ] {
            assert_eq!(decode(&encode(&audience)).unwrap(), audience);
        }
        for bad in [
            &[][..],
            &[3],
            &[4],
            &[5],
            &[1, 0, 0],
            &[2, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        ] {
            assert!(
                matches!(decode(bad), Err(StoreError::Corrupt(_))),
                "{bad:?}"
            );
        }
    }
}
