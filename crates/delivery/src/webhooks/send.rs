//! One attempt at a request: put together, signed, sent, judged.

use std::time::Duration;

use domain::webhook::{self, Scheme, WebhookSecret};
use gateway::{Post, Posted};
use store::publishes::Settled;
use store::webhooks::{Attempted, Claimed, ClaimedRequests, Content, Next, PUBLISH_GONE};

use super::{Lane, make};
use crate::measure;

/// How long after an attempt that failed the next one comes. After as many and one more, a request is given up. Beams: webhooks,
/// retry strategy.
const AGAIN_AFTER: [Duration; 4] = [
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(300),
];
/// The user agent of all requests. Beams: webhooks, request format.
const USER_AGENT: &str = "pusher-webhooks";

/// Why there was nothing to send.
#[derive(Debug, Clone, Copy)]
enum Unsendable {
    /// What it would tell of was deleted in the meantime.
    PublishGone,
    /// What it needs does not open: another master key, which may come back, or damage.
    Sealed,
    /// What it would carry makes no sense.
    Malformed,
    /// The store did not say.
    Store,
}

/// What is sent.
struct Letter {
    url: String,
    basic: Option<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Lane {
    /// Sends a claimed request. `None` if nobody can say what it carries now, or it could not leave this node: nothing counts, its
    /// lease ends, and it is claimed again.
    pub(super) async fn attempt(
        &self,
        claimed: &ClaimedRequests,
        request: &Claimed,
    ) -> Option<Attempted> {
        let letter = if request.event.is_of_publish_webhook() {
            self.own_letter(claimed, request).await
        } else {
            self.letter(claimed, request).await
        };
        let done = |next, status, error: Option<String>| {
            Some(Attempted {
                number: request.number,
                fence: request.fence,
                next,
                status,
                error,
            })
        };
        let give_up = |why: &str| {
            tracing::error!(webhook = %claimed.webhook.id, request = %request.id, why, "a webhook's request cannot be sent");
            done(Next::GiveUp, None, Some(why.into()))
        };
        let letter = match letter {
            Ok(letter) => letter,
            Err(Unsendable::Store) => return None,
            Err(Unsendable::Sealed) => {
                tracing::error!(webhook = %claimed.webhook.id, request = %request.id, "what a webhook's request needs does not open; it waits for the master key");
                return None;
            }
            Err(Unsendable::PublishGone) => return give_up(PUBLISH_GONE),
            Err(Unsendable::Malformed) => return give_up("malformed"),
        };
        let basic = letter.basic.as_ref();
        let post = Post {
            webhook: claimed.webhook.id,
            url: &letter.url,
            basic: basic.map(|(user, password)| (user.as_str(), password.as_str())),
            headers: &letter.headers,
            body: &letter.body,
        };
        let began = tokio::time::Instant::now();
        let posted = self.instances.gateways().webhooks().post(&post).await;
        let (status, error) = match posted {
            Posted::Answered(status @ 200..=299) => (Some(status), None),
            Posted::Answered(status) => (Some(status), Some(format!("status_{status}"))),
            Posted::Failed(why) => (None, Some(why.into())),
            Posted::NotAsked => return None,
        };
        measure::webhook_attempt(error.is_none(), began.elapsed());
        let next = match (&error, again_after(request.attempts)) {
            (None, _) => Next::Delivered,
            (Some(_), Some(wait)) => Next::Again(self.clock.now().after(wait)),
            (Some(_), None) => Next::GiveUp,
        };
        if let Some(why) = &error {
            tracing::debug!(webhook = %claimed.webhook.id, request = %request.id, why, "a webhook did not take a request");
        }
        done(next, status, error)
    }

    async fn letter(
        &self,
        claimed: &ClaimedRequests,
        request: &Claimed,
    ) -> Result<Letter, Unsendable> {
        let webhook = &claimed.webhook;
        let secret = self
            .instances
            .vault()
            .open_webhook_secret(claimed.instance, webhook)
            .ok()
            .flatten()
            .ok_or(Unsendable::Sealed)?;
        let payload = self.payload(claimed, request).await?;
        let (event, data) = (request.event, &webhook.custom_data);
        let body = webhook::body(&payload, event, request.event_id, request.created_at, data);
        let body = body.ok_or(Unsendable::Malformed)?;
        let mut headers = vec![
            ("user-agent", USER_AGENT.into()),
            ("webhook-event-type", event.to_string()),
            ("webhook-id-uuid", webhook.id.to_string()),
            ("webhook-request-id-uuid", request.id.to_string()),
        ];
        self.sign(&secret, request, &body, &mut headers);
        Ok(Letter {
            url: webhook.url.clone(),
            basic: None,
            headers,
            body,
        })
    }

    fn sign(
        &self,
        secret: &WebhookSecret,
        request: &Claimed,
        body: &[u8],
        headers: &mut Vec<(&'static str, String)>,
    ) {
        match secret.scheme() {
            Scheme::Beams => headers.push(("webhook-signature", secret.sign_beams(body))),
            Scheme::Standard => {
                // The id is the request's and stays; the time is the attempt's, since receivers refuse old ones.
                let (id, now) = (format!("msg_{}", request.id.simple()), self.clock.now());
                let signature = secret.sign_standard(&id, now, body);
                headers.push(("webhook-id", id));
                headers.push(("webhook-timestamp", now.as_secs().to_string()));
                headers.push(("webhook-signature", signature));
            }
        }
    }

    /// What a request carries, made and kept if it was not yet.
    async fn payload(
        &self,
        claimed: &ClaimedRequests,
        request: &Claimed,
    ) -> Result<String, Unsendable> {
        let (publish, after) = match &request.content {
            Content::Made(payload) => return Ok(payload.clone()),
            Content::OfPublish { publish, after } => (*publish, after.clone()),
        };
        let (store, instance) = (&*self.store, claimed.instance);
        let made = make::of_publish(store, instance, request.event, publish, after).await;
        let made = match made {
            Ok(made) => made.ok_or(Unsendable::PublishGone)?,
            Err(error) => {
                tracing::warn!(%error, %publish, "a publish could not be looked up for a webhook");
                return Err(Unsendable::Store);
            }
        };
        let payload = made.payload.clone();
        let (number, fence) = (request.number, request.fence);
        let kept = store.make_request(number, fence, made.payload, made.rest);
        match kept.await {
            Ok(Settled::Done) => Ok(payload),
            Ok(Settled::LeaseLost) => Err(Unsendable::Store),
            Err(error) => {
                tracing::warn!(%error, %publish, "what a webhook is told could not be kept");
                Err(Unsendable::Store)
            }
        }
    }

    /// A request to the webhook that a publish brought along. It is made anew for each attempt: it may hold a password, and what
    /// it tells does not change.
    async fn own_letter(
        &self,
        claimed: &ClaimedRequests,
        request: &Claimed,
    ) -> Result<Letter, Unsendable> {
        let (Some(brought), Content::OfPublish { publish, .. }) =
            (&request.brought, &request.content)
        else {
            return Err(Unsendable::Malformed);
        };
        let vault = self.instances.vault();
        let brought = vault
            .open_brought(*publish, brought)
            .map_err(|_| Unsendable::Sealed)?;
        let report = self
            .store
            .publish_report(claimed.instance, *publish)
            .await
            .map_err(|error| {
                tracing::warn!(%error, %publish, "a publish could not be looked up for its webhook");
                Unsendable::Store
            })?
            .ok_or(Unsendable::PublishGone)?;
        let body = make::own_body(request.event, &report, &brought.request_body);
        let (url, basic) = brought.url.split();
        Ok(Letter {
            url,
            basic,
            headers: vec![("user-agent", USER_AGENT.into())],
            body: body.ok_or(Unsendable::Malformed)?,
        })
    }
}

/// How long to wait after an attempt that failed, when there were `attempts` before it.
fn again_after(attempts: u32) -> Option<Duration> {
    let number = usize::try_from(attempts).unwrap_or(usize::MAX);
    AGAIN_AFTER.get(number).copied()
}
