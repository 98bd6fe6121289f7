//! The fields of a webhook's forms, and what its events and signatures are called.

use domain::webhook::{CUSTOM_DATA_LENGTH_MAX, EventType};
use maud::{Markup, html};

use crate::admin::error::AdminError;

/// What people call a way to sign.
pub(super) fn scheme(word: &str) -> &'static str {
    match word {
        "standard" => "Standard Webhooks",
        _ => "as Beams does",
    }
}

/// When a webhook is told of an event.
const fn told_when(event: EventType) -> &'static str {
    match event {
        EventType::PublishToUsersAttempt => "a publish to users had its end",
        EventType::UserNotificationAcknowledgement => "a user’s device got a notification",
        EventType::UserNotificationOpen => "a user opened a notification",
        EventType::PublishToInterestsAttempt => "a publish to interests had its end",
        EventType::DeviceRegistered => "a device registered",
        EventType::DeviceBound => "a device was bound to a user",
        EventType::DeviceUnbound => "a device was taken from its user",
        EventType::DeviceRemoved => "a device was removed, and why",
        EventType::CredentialBroken => "a gateway began to refuse the credential",
        EventType::Test => "somebody tried the webhook",
        EventType::PublishStarted => "a publish began",
        EventType::PublishFinished => "a publish ended",
    }
}

pub(super) fn url(value: &str) -> Markup {
    html! {
        div.field {
            label for="url" { "URL of the receiver" }
            input id="url" name="url" type="url" value=(value) required placeholder="https://app.example.com/pushes" spellcheck="false" autocapitalize="none" aria-describedby="url-hint";
            p.hint id="url-hint" { "https, and in the public internet; the setting " code { "outbound.allow_webhooks" } " makes exceptions." }
        }
    }
}

pub(super) fn events(chosen: &[String]) -> Markup {
    html! {
        fieldset {
            legend { "Told when" }
            @for event in EventType::CHOICES {
                label.choice {
                    input type="checkbox" name="event" value=(event.as_str()) checked[chosen.iter().any(|name| name == event.as_str())];
                    span { (told_when(event)) " " code.soft.small { (event.as_str()) } }
                }
            }
        }
    }
}

/// A form whose boxes are all empty chose nothing, which is not the same as leaving the choice to us.
pub(super) fn chosen(events: &[String]) -> Result<(), AdminError> {
    if events.is_empty() {
        return Err(AdminError::field("events", "choose at least one event"));
    }
    Ok(())
}

pub(super) fn schemes(chosen: Option<&str>) -> Markup {
    let is_standard = chosen == Some("standard");
    html! {
        fieldset {
            legend { "Signed" }
            label.choice { input type="radio" name="scheme" value="beams" checked[!is_standard]; span { "as Beams does: hex HMAC-SHA1 of the body" } }
            label.choice { input type="radio" name="scheme" value="standard" checked[is_standard]; span { "as Standard Webhooks says: any library of that specification verifies it" } }
        }
    }
}

pub(super) fn custom_data(value: &str) -> Markup {
    html! {
        details open[!value.is_empty()] {
            summary { "Custom data" }
            div.field {
                label for="custom-data" { "A JSON object that every request carries" }
                textarea.code id="custom-data" name="custom_data" rows="3" maxlength=(CUSTOM_DATA_LENGTH_MAX) spellcheck="false" placeholder=r#"{"app": "shop"}"# { (value) }
            }
        }
    }
}
