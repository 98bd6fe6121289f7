//! Makes what a request tells of a publish out of what the store knows of it.

use std::collections::HashMap;

use domain::device::Platform;
use domain::instance::InstanceId;
use domain::outcome::OutcomeKind;
use domain::publish::PublishId;
use domain::user::UserId;
use domain::webhook::{EventType, PlatformResult, USERS_PER_EVENT_MAX, WebhookEvent};
use serde_json::value::RawValue;
use store::lookup::{PublishReport, PublishState, UserOutcome};
use store::{Store, StoreError};

/// What was made.
pub(super) struct Made {
    /// The JSON of the payload.
    pub(super) payload: String,
    /// The last user that it tells of, where there are more.
    pub(super) rest: Option<UserId>,
}

/// The payload for an event of a publish; `None` if the publish is gone.
pub(super) async fn of_publish(
    store: &dyn Store,
    instance: InstanceId,
    event: EventType,
    publish: PublishId,
    after: Option<UserId>,
) -> Result<Option<Made>, StoreError> {
    let Some(report) = store.publish_report(instance, publish).await? else {
        return Ok(None);
    };
    if event != EventType::PublishToUsersAttempt {
        let event = WebhookEvent::PublishToInterestsAttempt {
            instance,
            publish,
            state: report.state.as_str(),
            results: results(&report),
        };
        return Ok(Some(Made {
            payload: event.payload(),
            rest: None,
        }));
    }
    let one_more = USERS_PER_EVENT_MAX + 1;
    let users = store
        .publish_users(instance, publish, after, one_more)
        .await?;
    let Some(mut users) = users else {
        return Ok(None);
    };
    let there_are_more = users.len() > USERS_PER_EVENT_MAX;
    users.truncate(USERS_PER_EVENT_MAX);
    let rest = users.last().map(|outcome| outcome.user.clone());
    let event = attempt(instance, publish, report.state, users);
    Ok(Some(Made {
        payload: event.payload(),
        rest: rest.filter(|_| there_are_more),
    }))
}

/// Tells users apart by what became of a publish for them. Of a cancelled one, a user for whom nothing had happened yet is told
/// nowhere.
fn attempt(
    instance: InstanceId,
    publish: PublishId,
    state: PublishState,
    users: Vec<UserOutcome>,
) -> WebhookEvent {
    let (mut delivered_to_gateway, mut no_devices, mut gateway_failed) = (vec![], vec![], vec![]);
    for outcome in users {
        if outcome.accepted > 0 {
            delivered_to_gateway.push(outcome.user);
        } else if outcome.failed > 0 {
            gateway_failed.push(outcome.user);
        } else if state == PublishState::Finished {
            no_devices.push(outcome.user);
        }
    }
    WebhookEvent::PublishToUsersAttempt {
        instance,
        publish,
        delivered_to_gateway,
        no_devices,
        gateway_failed,
    }
}

/// By platform, in the order of [`Platform::ALL`], what was taken and what was not.
fn results(report: &PublishReport) -> Vec<(Platform, PlatformResult)> {
    let mut found: HashMap<Platform, PlatformResult> = HashMap::new();
    for tally in &report.tallies {
        let result = found.entry(tally.platform).or_default();
        match tally.outcome {
            OutcomeKind::Accepted => result.accepted += tally.count,
            _ => result.failed += tally.count,
        }
    }
    let all = Platform::ALL.into_iter();
    all.filter_map(|platform| Some((platform, found.remove(&platform)?)))
        .collect()
}

/// The body of a request to the webhook that a publish brought along. Beams: webhook reference, publish webhooks, whose examples
/// have other names than its tables; receivers were written by the examples.
pub(super) fn own_body(
    event: EventType,
    report: &PublishReport,
    request_body: &str,
) -> Option<Vec<u8>> {
    let raw: &RawValue = serde_json::from_str(request_body).ok()?;
    let mut body = format!(
        r#"{{"publishId":"{}","status":"{event}","requestBody":{}"#,
        report.id,
        raw.get()
    );
    if event == EventType::PublishFinished {
        body.push_str(r#","results":{"#);
        let parts: Vec<String> = own_results(report, request_body);
        body.push_str(&parts.join(","));
        body.push('}');
    }
    body.push('}');
    Some(body.into_bytes())
}

/// What became of each platform that the publish had a payload for. One whose credential was refused, or that has none, has
/// failed as a whole.
fn own_results(report: &PublishReport, request_body: &str) -> Vec<String> {
    let asked: HashMap<String, &RawValue> = serde_json::from_str(request_body).unwrap_or_default();
    let counted = results(report);
    let platforms = Platform::ALL.into_iter();
    platforms
        .filter(|platform| {
            asked
                .get(platform.as_str())
                .is_some_and(|raw| raw.get() != "null")
        })
        .map(|platform| {
            let mut tallies = report.tallies.iter().filter(|t| t.platform == platform);
            let is_broken =
                |t: &store::publishes::Tally| t.outcome == OutcomeKind::CredentialBroken;
            let result = counted.iter().find(|(of, _)| *of == platform);
            let result = result.map(|(_, result)| *result).unwrap_or_default();
            let of = platform.as_str();
            if result.failed > 0 && tallies.all(is_broken) {
                format!(r#""{of}":{{"failed":true}}"#)
            } else if result.failed > 0 {
                format!(
                    r#""{of}":{{"numSuccessfulPublishes":{},"numFailedPublishes":{}}}"#,
                    result.accepted, result.failed
                )
            } else {
                format!(r#""{of}":{{"numSuccessfulPublishes":{}}}"#, result.accepted)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::clock::Timestamp;
    use domain::publish::AudienceKind;
    use store::lookup::Target;
    use store::publishes::Tally;

    use super::*;

    fn report(tallies: Vec<Tally>) -> PublishReport {
        let at = Timestamp::from_secs(1);
        PublishReport {
            id: PublishId::parse("pubid-9e5f186a-93d9-4b79-af37-2a946d73e2b5").unwrap(),
            state: PublishState::Finished,
            target: Target::Named(AudienceKind::Interests, 1),
            accepted_at: at,
            send_at: at,
            expires_at: None,
            finished_at: Some(at),
            tallies,
            retries: 0,
            delivered: 0,
            opened: 0,
        }
    }

    fn tally(platform: Platform, outcome: OutcomeKind, count: u64) -> Tally {
        Tally {
            platform,
            outcome,
            reason: "".into(),
            count,
        }
    }

    fn own(event: EventType, report: &PublishReport, body: &str) -> String {
        String::from_utf8(own_body(event, report, body).unwrap()).unwrap()
    }

    #[test]
    fn the_pair_of_a_publish_is_as_beams_documents_it() {
        let body = r#"{"interests":["my_interest"],"fcm":{"data":{}},"apns":{"aps":{}},"web":{},"safari":null}"#;
        let report = report(vec![
            tally(Platform::Apns, OutcomeKind::Accepted, 486_546),
            tally(Platform::Apns, OutcomeKind::TokenDead, 3),
            tally(Platform::Apns, OutcomeKind::Expired, 2),
            tally(Platform::Fcm, OutcomeKind::Accepted, 98_423),
            tally(Platform::Web, OutcomeKind::CredentialBroken, 7),
        ]);
        let start = r#"{"publishId":"pubid-9e5f186a-93d9-4b79-af37-2a946d73e2b5","status":"#;
        assert_eq!(
            own(EventType::PublishStarted, &report, body),
            format!(r#"{start}"STARTED","requestBody":{body}}}"#)
        );
        let results = concat!(
            r#"{"apns":{"numSuccessfulPublishes":486546,"numFailedPublishes":5},"#,
            r#""fcm":{"numSuccessfulPublishes":98423},"web":{"failed":true}}"#
        );
        assert_eq!(
            own(EventType::PublishFinished, &report, body),
            format!(r#"{start}"FINISHED","requestBody":{body},"results":{results}}}"#)
        );
    }

    #[test]
    fn a_platform_without_devices_is_told_too() {
        let body = r#"{"interests":["a"],"fcm":{}}"#;
        let told = own(EventType::PublishFinished, &report(vec![]), body);
        assert!(told.ends_with(r#""results":{"fcm":{"numSuccessfulPublishes":0}}}"#));
    }

    #[test]
    fn users_are_told_apart() {
        let outcome = |id: &str, accepted, failed| UserOutcome {
            user: UserId::parse(id).unwrap(),
            accepted,
            failed,
        };
        let users = vec![
            outcome("both", 1, 1),
            outcome("failed", 0, 2),
            outcome("nothing", 0, 0),
        ];
        let ids = |users: &[UserId]| {
            users
                .iter()
                .map(|u| u.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        for (state, without) in [
            (PublishState::Finished, vec!["nothing"]),
            (PublishState::Cancelled, vec![]),
        ] {
            let event = attempt(
                InstanceId::random(),
                PublishId::random(),
                state,
                users.clone(),
            );
            let WebhookEvent::PublishToUsersAttempt {
                delivered_to_gateway,
                no_devices,
                gateway_failed,
                ..
            } = event
            else {
                panic!("{event:?}");
            };
            assert_eq!(ids(&delivered_to_gateway), ["both"]);
            assert_eq!(ids(&gateway_failed), ["failed"]);
            assert_eq!(ids(&no_devices), without);
        }
    }
}
