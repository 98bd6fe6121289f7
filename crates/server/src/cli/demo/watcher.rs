//! Watches the gateways: what arrives where, and how long after its publish was accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::instance::InstanceId;
use domain::publish::PublishId;
use emulator::{Gateway, Notification, Verdict};
use serde_json::Value;
use store::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::screen::Screen;
use crate::cli::failure::Failure;

/// How long a notification may take to arrive. It takes milliseconds, unless the machine is very busy.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);

/// The gateways' journal, and who has which token.
pub(super) struct Watcher {
    journal: broadcast::Receiver<Arc<Notification>>,
    store: Arc<dyn Store>,
    instance: InstanceId,
    /// By gateway token.
    names: BTreeMap<String, String>,
}

impl Watcher {
    pub(super) fn new(
        journal: broadcast::Receiver<Arc<Notification>>,
        store: Arc<dyn Store>,
        instance: InstanceId,
    ) -> Self {
        Self {
            journal,
            store,
            instance,
            names: BTreeMap::new(),
        }
    }

    /// Says whose a token is.
    pub(super) fn know(&mut self, token: &str, name: &str) {
        self.names.insert(token.to_owned(), name.to_owned());
    }

    /// Shows what arrives until `publish` has arrived at all of `tokens`, or fails after a minute.
    pub(super) async fn expect(
        &mut self,
        publish: PublishId,
        tokens: &[&str],
        screen: &Screen,
    ) -> Result<(), Failure> {
        let mut missing: BTreeSet<&str> = tokens.iter().copied().collect();
        let arrive = async {
            while !missing.is_empty() {
                let Some(notification) = self.next().await else {
                    break;
                };
                self.show(&notification, screen).await?;
                if notification.verdict == Verdict::Accepted
                    && publish_of(&notification) == Some(publish)
                {
                    missing.remove(notification.token.as_str());
                }
            }
            Ok::<_, Failure>(())
        };
        // Whether it was in time is seen by what is missing.
        tokio::time::timeout(ARRIVAL_TIMEOUT, arrive)
            .await
            .unwrap_or(Ok(()))?;
        if missing.is_empty() {
            return Ok(());
        }
        let who: Vec<&str> = missing.into_iter().map(|token| self.name(token)).collect();
        Err(Failure::new(format!(
            "the publish {publish} did not arrive at: {}",
            who.join(", ")
        )))
    }

    /// Shows everything that arrives from now on.
    pub(super) async fn show_all(&mut self, screen: &Screen) -> Result<(), Failure> {
        while let Some(notification) = self.next().await {
            self.show(&notification, screen).await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Option<Arc<Notification>> {
        loop {
            match self.journal.recv().await {
                Ok(notification) => return Some(notification),
                // Somebody publishes faster than a person can read.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn show(&self, notification: &Notification, screen: &Screen) -> Result<(), Failure> {
        let name = self.name(&notification.token);
        let gateway = gateway_name(notification.gateway);
        if notification.verdict != Verdict::Accepted {
            let reason = notification.reason.as_deref().unwrap_or("no reason given");
            return screen.refused(name, format_args!("{gateway:10}refused: {reason}"));
        }
        let text = text_of(&notification.payload_value());
        match self.took(notification).await {
            Some(took) => screen.arrived(
                name,
                format_args!("{gateway:10}{text}  ({} ms)", took.as_millis()),
            ),
            None => screen.arrived(name, format_args!("{gateway:10}{text}")),
        }
    }

    /// From the publish's acceptance to its arrival.
    async fn took(&self, notification: &Notification) -> Option<Duration> {
        let publish = publish_of(notification)?;
        let report = self
            .store
            .publish_report(self.instance, publish)
            .await
            .ok()??;
        Some(notification.at.since(report.accepted_at))
    }

    fn name<'a>(&'a self, token: &'a str) -> &'a str {
        self.names.get(token).map_or(token, String::as_str)
    }
}

fn gateway_name(gateway: Gateway) -> &'static str {
    match gateway {
        Gateway::Apns => "APNs",
        Gateway::ApnsSandbox => "APNs dev",
        Gateway::Fcm | Gateway::FcmToken => "FCM",
        Gateway::WebPush => "Web Push",
    }
}

/// Which publish a notification belongs to, from the entry that the client SDKs read.
fn publish_of(notification: &Notification) -> Option<PublishId> {
    let payload = notification.payload_value();
    let entry = payload.pointer("/data/pusher")?;
    let read;
    let entry = match entry {
        // FCM carries strings only.
        Value::String(text) => {
            read = serde_json::from_str::<Value>(text).ok()?;
            &read
        }
        entry => entry,
    };
    PublishId::parse(entry.get("publishId")?.as_str()?)
}

/// Title and body, wherever the gateway's shape has them.
fn text_of(payload: &Value) -> String {
    let find = |name: &str| {
        ["/aps/alert", "/notification", "/android/notification"]
            .into_iter()
            .find_map(|place| payload.pointer(place)?.get(name)?.as_str())
    };
    let words: Vec<String> = [find("title"), find("body")]
        .into_iter()
        .flatten()
        .map(|text| format!("{text:?}"))
        .collect();
    if words.is_empty() {
        return payload
            .pointer("/aps/alert")
            .and_then(Value::as_str)
            .map_or("data only".into(), |text| format!("{text:?}"));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn title_and_body_are_found_in_every_shape() {
        let wanted = r#""Dinner" "is ready""#;
        let words = json!({"title": "Dinner", "body": "is ready"});
        assert_eq!(text_of(&json!({"aps": {"alert": words}})), wanted);
        assert_eq!(text_of(&json!({"notification": words, "data": {}})), wanted);
        assert_eq!(
            text_of(&json!({"token": "t", "android": {"notification": words}})),
            wanted
        );
        assert_eq!(text_of(&json!({"aps": {"alert": "plain"}})), r#""plain""#);
        assert_eq!(text_of(&json!({"data": {"a": "b"}})), "data only");
    }

    #[test]
    fn nothing_in_a_text_steers_the_terminal() {
        let text = text_of(&json!({"notification": {"title": "\u{1b}[2J"}}));
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
