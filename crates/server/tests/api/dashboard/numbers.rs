//! Every number leads to the rows that it is made of: links are followed, and the rows counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::clock::Timestamp;
use domain::device::{DeviceId, Platform, Recipient};
use domain::interest::InterestName;
use domain::outcome::OutcomeKind;
use domain::publish::{AudienceKind, Publish, PublishId, PublishRequest};
use store::publishes::{
    Event, EventKind, Failure, Lease, NewPublish, NewRetry, Plan, Recorded, Settled, Settlement,
    Tally, UserTally,
};
use uuid::Uuid;

use super::browser::Browser;
use crate::support::{Instance, NOW, Server};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AN_HOUR: Duration = Duration::from_secs(60 * 60);

/// Deliveries with an end, or to be tried again.
type End = (Platform, OutcomeKind, &'static str, u64);

/// A publish to `news` that was sent at some time, and had these ends.
async fn sent(server: &Server, instance: &Instance, at: Timestamp, ends: &[End]) -> PublishId {
    let body = r#"{"interests":["news"],"fcm":{"data":{}}}"#;
    let request = PublishRequest::parse(AudienceKind::Interests, body.as_bytes()).unwrap();
    sent_to(server, instance, request, at, ends).await
}

/// The same to whoever is asked for.
async fn sent_to(
    server: &Server,
    instance: &Instance,
    request: PublishRequest,
    at: Timestamp,
    ends: &[End],
) -> PublishId {
    let publish = Publish {
        id: PublishId::random(),
        instance: instance.id,
        accepted_at: at,
        send_at: at,
        expires_at: None,
        payloads: request.payloads,
        trace: None,
    };
    let id = publish.id;
    // What ends later is taken for the work of a wrong clock.
    let until = server.app.admin().now().after(AN_HOUR);
    let plan = Plan {
        job_span: 1_000_000,
        jobs_max: 1,
        // Somebody else's, so that the server leaves it alone.
        lease: Some(Lease {
            owner: Uuid::from_u128(7),
            until,
        }),
        first_page_max: 0,
    };
    let new = NewPublish {
        publish: Arc::new(publish),
        audience: request.audience,
        once: None,
        webhook: None,
    };
    let store = server.app.store();
    let jobs = store.create_publish(new, plan).await.unwrap().into_jobs();
    let [job] = &jobs[..] else { panic!("{jobs:?}") };
    let page = store.audience_page(job, job.cursor, 1000).await.unwrap();
    let settlement = settlement(&page.recipients, ends, until);
    let settled = store.settle_page(job, job.end, true, until, settlement, at);
    assert_eq!(settled.await.unwrap(), Settled::Done);
    id
}

/// What the ends of a page come to.
fn settlement(recipients: &[Recipient], ends: &[End], due_at: Timestamp) -> Settlement {
    let user = recipients.iter().find_map(|recipient| recipient.user);
    let mut devices = recipients.iter().map(|recipient| recipient.device);
    let mut settlement = Settlement::default();
    for (platform, outcome, reason, count) in ends {
        if *outcome == OutcomeKind::Retry {
            let waits = devices.by_ref().take(usize::try_from(*count).unwrap());
            settlement.retries.extend(waits.map(|device| NewRetry {
                device,
                attempts: 1,
                due_at,
                reason: (*reason).into(),
                user: None,
            }));
            continue;
        }
        settlement.tallies.push(Tally {
            platform: *platform,
            outcome: *outcome,
            reason: (*reason).into(),
            count: *count,
        });
        if matches!(outcome, OutcomeKind::Rejected | OutcomeKind::Expired) {
            let failed = devices.by_ref().take(usize::try_from(*count).unwrap());
            settlement.failures.extend(failed.map(|device| Failure {
                device,
                outcome: *outcome,
                reason: (*reason).into(),
            }));
        }
    }
    let ends_of = |wanted: &[OutcomeKind]| {
        let wanted = ends.iter().filter(|end| wanted.contains(&end.1));
        wanted.map(|end| end.3).sum()
    };
    settlement.users.extend(user.map(|user| UserTally {
        user,
        accepted: ends_of(&[OutcomeKind::Accepted]),
        failed: ends_of(&[OutcomeKind::Rejected, OutcomeKind::Expired]),
    }));
    settlement
}

async fn reported(
    server: &Server,
    instance: &Instance,
    publish: PublishId,
    kind: EventKind,
    devices: &[DeviceId],
) {
    let event = |device: &DeviceId| Event {
        instance: instance.id,
        publish,
        device: *device,
        kind,
        at: NOW,
        received: NOW.after(DAY),
        user: None,
    };
    let events: Vec<Event> = devices.iter().map(event).collect();
    let recorded = server.app.store().record_events(events).await.unwrap();
    assert!(recorded.iter().all(|one| *one == Recorded::New));
}

/// A number as people read it, if the text is one.
fn number(text: &str) -> Option<u64> {
    text.replace('\u{202f}', "").parse().ok()
}

/// The links of a page with what they say.
fn links(body: &str) -> Vec<(String, String)> {
    let pieces = body.split("<a ").skip(1);
    let link = |piece: &str| {
        let (tag, rest) = piece.split_once('>')?;
        let href = tag.split("href=\"").nth(1)?.split('"').next()?;
        let text = rest.split("</a>").next()?;
        Some((href.replace("&amp;", "&"), text.to_owned()))
    };
    pieces.filter_map(link).collect()
}

/// All pages of a list, as one text: of the section of this name alone, if pages have one.
async fn pages(browser: &Browser<'_>, first: &str, section: &str) -> String {
    let (mut all, mut path) = (String::new(), first.to_owned());
    let mark = format!("<section class=\"card\" id=\"{section}\"");
    for _ in 0..20 {
        let page = browser.get(&path).await.ok().body;
        let page = match page.split_once(&mark) {
            Some((_, rest)) => rest.split("</section>").next().unwrap().to_owned(),
            None => page,
        };
        let next = links(&page)
            .into_iter()
            .find(|(_, text)| text == "Further →");
        all += &page;
        match next {
            Some((next, _)) => path = next,
            None => return all,
        }
    }
    panic!("{first} has no end");
}

/// What stands in the cells of a class, as numbers.
fn cells(body: &str, class: &str) -> Vec<u64> {
    let mark = format!("<td class=\"{class}\"");
    let cells = body.split(mark.as_str()).skip(1);
    let text = |cell: &str| links(cell.split("</td>").next().unwrap()).remove(0).1;
    cells.map(|cell| number(&text(cell)).unwrap()).collect()
}

/// How many rows are behind a link, and what kind of list it leads to.
async fn behind(browser: &Browser<'_>, page: &str, href: &str) -> (&'static str, Vec<u64>) {
    let (path, anchor) = href.split_once('#').unwrap_or((href, ""));
    let path = if path.is_empty() { page } else { path };
    let body = pages(browser, path, anchor).await;
    let rows = |mark: &str| vec![body.matches(mark).count() as u64];
    let rows_of_ids = "<td class=\"id wide\">";
    match anchor {
        "failures" => ("failures", rows("<tr class=\"failure\">")),
        "waiting" => ("waiting", rows("<tr class=\"waiting\">")),
        "ends" => {
            // What had the same end, by platform and in all; and all that failed in some way.
            let ends = body.split("id=\"ends\"").nth(1).unwrap();
            let ends = ends.split("</table>").next().unwrap();
            let mut sums: BTreeMap<String, u64> = BTreeMap::new();
            for row in ends.split("<tr>").skip(2) {
                let text = |cell: &str| cell.split('<').next().unwrap().to_owned();
                let row: Vec<&str> = row.split("<td").skip(1).collect();
                let platform = text(row[0].split_once('>').unwrap().1);
                let end = text(row[1].split_once('>').unwrap().1);
                let count = row[3].split_once('>').unwrap().1.replace("</td>", "");
                let count = links(&count)
                    .first()
                    .map_or(text(&count), |link| link.1.clone());
                let count = number(&count).unwrap();
                *sums.entry(format!("{platform} {end}")).or_default() += count;
                *sums.entry(end.clone()).or_default() += count;
                if end != "accepted" {
                    *sums.entry("failed in some way".to_owned()).or_default() += count;
                }
            }
            ("ends", sums.into_values().collect())
        }
        _ if path.contains("/events?") => ("events", rows("<tr class=\"event\">")),
        _ if path.contains("counting=") => (
            "counted publishes",
            vec![cells(&body, "num counted").iter().sum()],
        ),
        _ if path.contains("/publishes") => ("publishes", rows(rows_of_ids)),
        _ if path.contains("/people?devices=all") => ("devices", rows(rows_of_ids)),
        _ if path.contains("/people?user=") => ("devices of a user", rows(rows_of_ids)),
        _ => panic!("a number leads to {href}"),
    }
}

async fn filled(server: &Server, instance: &Instance) -> [PublishId; 3] {
    use OutcomeKind::{Accepted, Expired, Rejected, TokenDead};
    let store = server.app.store();
    let mut devices = Vec::new();
    for number in 0..70 {
        let device = server.fcm_device(instance, &format!("t{number}")).await;
        let device = DeviceId::parse(&device).unwrap();
        let news = vec![InterestName::parse("news").unwrap()];
        let set = store.set_interests(instance.id, device, news, NOW).await;
        assert_eq!(set.unwrap(), store::devices::Changed::Done);
        devices.push(device);
    }
    let ends = [
        (Platform::Fcm, Accepted, "", 60),
        (Platform::Web, Accepted, "", 1200),
        (Platform::Fcm, TokenDead, "gone", 3),
        (Platform::Fcm, Rejected, "a & b", 55),
        (Platform::Fcm, Rejected, "too_large", 2),
        (Platform::Fcm, Expired, "", 1),
    ];
    let first = sent(server, instance, NOW, &ends).await;
    let ends = [
        (Platform::Fcm, Accepted, "", 10),
        (Platform::Fcm, Rejected, "a & b", 4),
    ];
    let second = sent(server, instance, NOW.after(DAY), &ends).await;
    // One that reached nobody, and one long ago.
    sent(server, instance, NOW.after(DAY), &[]).await;
    let old = [(Platform::Fcm, Accepted, "", 5)];
    sent(server, instance, NOW.before(60 * DAY), &old).await;
    reported(server, instance, first, EventKind::Delivery, &devices[..57]).await;
    reported(server, instance, first, EventKind::Open, &devices[..8]).await;
    reported(
        server,
        instance,
        second,
        EventKind::Delivery,
        &devices[2..7],
    )
    .await;
    for device in &devices[60..63] {
        let bound = server
            .bind(instance, &device.to_string(), "ann & bob")
            .await;
        assert_eq!(bound.status, 200, "{bound:?}");
    }
    assert!(store.delete_device(instance.id, devices[69]).await.unwrap());
    let body = r#"{"users":["ann & bob","nobody"],"fcm":{"data":{}}}"#;
    let request = PublishRequest::parse(AudienceKind::Users, body.as_bytes()).unwrap();
    let ends = [
        (Platform::Fcm, Accepted, "", 1),
        (Platform::Fcm, Rejected, "too_large", 2),
    ];
    let to_users = sent_to(server, instance, request, NOW.after(DAY), &ends).await;
    [first, second, to_users]
}

#[tokio::test]
async fn every_number_leads_to_as_many_rows() {
    let server = Server::start().await;
    let instance = server.instance().await;
    let [first, second, to_users] = filled(&server, &instance).await;
    server.clock.advance(DAY + DAY / 2);
    let ends = [
        (Platform::Fcm, OutcomeKind::Rejected, "a & b", 6),
        (Platform::Fcm, OutcomeKind::Retry, "unavailable", 53),
    ];
    let now = NOW.after(DAY + DAY / 2);
    let waiting = sent(&server, &instance, now, &ends).await;
    let browser = Browser::signed_in(&server).await;
    let base = format!("/i/{}", instance.id);
    let mut followed = BTreeSet::new();
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for page in [
        base.clone(),
        format!("{base}/insights"),
        format!("{base}/insights?by=hour"),
        format!("{base}/publishes"),
        format!("{base}/publishes/{first}"),
        format!("{base}/publishes/{second}"),
        format!("{base}/publishes/{to_users}"),
        format!("{base}/publishes/{waiting}"),
        format!("{base}/people"),
    ] {
        let body = browser.get(&page).await.ok().body;
        for (href, text) in links(&body) {
            let Some(shown) = number(&text) else { continue };
            if followed.insert((page.clone(), href.clone(), shown)) {
                let (kind, rows) = behind(&browser, &page, &href).await;
                assert!(
                    rows.contains(&shown),
                    "{page}: {shown} of {rows:?} {kind} at {href}"
                );
                *kinds.entry(kind).or_default() += 1;
            }
        }
        // A number that leads nowhere is nothing, or is itself a row of what is counted.
        let of_rows = body.split("id=\"ends\"").next().unwrap();
        for mark in ["<td class=\"num\">", "<span class=\"num\">", "<dd>"] {
            for piece in of_rows.split(mark).skip(1) {
                let text = piece.split('<').next().unwrap();
                assert!(
                    number(text).is_none_or(|number| number == 0),
                    "{page}: {text}"
                );
            }
        }
    }
    let expected = [
        "counted publishes",
        "devices",
        "devices of a user",
        "ends",
        "events",
        "failures",
        "publishes",
        "waiting",
    ];
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), expected);
    assert!(followed.len() > 40, "{kinds:?}");
}

#[tokio::test]
async fn what_a_number_is_made_of_is_none_of_others() {
    let server = Server::start().await;
    let (mine, other) = (server.instance().await, server.instance().await);
    let [first, ..] = filled(&server, &mine).await;
    let browser = Browser::signed_in(&server).await;
    for path in [
        format!("/i/{}/publishes/{first}/events?kind=open", other.id),
        format!("/i/{}/publishes/{first}?counting=rejected", other.id),
    ] {
        assert_eq!(browser.get(&path).await.status, 404, "{path}");
    }
    for path in [
        "publishes?counting=accepted",
        "people?devices=all&platform=fcm",
    ] {
        let page = browser.get(&format!("/i/{}/{path}", other.id)).await.ok();
        assert!(page.body.contains("There is none."), "{path}");
    }
    // What makes no sense is left out, and nothing is markup.
    for path in [
        "publishes?counting=x&from=<b>",
        "publishes?reason=<script>alert(1)</script>",
        "people?devices=all&active=<b>&platform=x",
        "insights?by=<b>",
    ] {
        let page = browser.get(&format!("/i/{}/{path}", mine.id)).await.ok();
        assert!(
            !page.body.contains("<script>alert") && !page.body.contains("<b>"),
            "{path}"
        );
    }
}
