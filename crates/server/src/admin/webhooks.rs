//! Webhooks: where an app's backend is told what happened, and what it was told.
//!
//! For pages: [`list`] has the state of every webhook (enabled or disabled, failing since, queue full since), [`enable`],
//! [`disable`] and [`remove`] are its buttons, [`add`] and [`change`] the forms: what is wrong comes back as
//! [`AdminError::Field`] with the field's name. Changes count at once, on every node. What it was told is in [`deliveries`].

pub mod deliveries;

use domain::instance::InstanceId;
use domain::webhook::{
    CustomData, EventType, Events, Scheme, WebhookId, WebhookSecret, WebhookUrl,
};
use gateway::Guard;
use serde::Serialize;
use serde_json::value::RawValue;
use store::webhooks::{Disabled, NewWebhook, WebhookChange, WebhookRecord};
use utoipa::ToSchema;

use super::Admin;
use super::actor::{Actor, Deed};
use super::error::AdminError;

/// How many webhooks an instance may have. Beams has no limit; each costs time with every event of its instance.
pub const WEBHOOKS_MAX: usize = 100;
/// Why a webhook is disabled by hand.
const BY_HAND: &str = "by hand";

const UNKNOWN: AdminError = AdminError::NotFound { what: "webhook" };

/// A webhook, without its secret.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Its UUID, as `Webhook-ID-UUID` has it.
    pub id: String,
    /// Where requests go.
    pub url: String,
    /// How they are signed: `beams` or `standard`.
    pub scheme: &'static str,
    /// What it is told of.
    pub events: Vec<&'static str>,
    /// What it gets back in every request.
    #[schema(value_type = Object)]
    pub custom_data: Box<RawValue>,
    /// When it was added.
    #[schema(format = "date-time")]
    pub created_at: String,
    /// `enabled` or `disabled`.
    pub state: &'static str,
    /// Since when it is disabled.
    #[schema(format = "date-time")]
    pub disabled_since: Option<String>,
    /// Why it is disabled.
    pub disabled_reason: Option<String>,
    /// Since when every request has failed.
    #[schema(format = "date-time")]
    pub failing_since: Option<String>,
    /// Since when it is told nothing new, because too many requests wait.
    #[schema(format = "date-time")]
    pub full_since: Option<String>,
}

/// A webhook that was just added. The only answer that has its secret.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = AddedWebhook)]
pub struct Added {
    /// Its UUID.
    pub id: String,
    /// What its requests are signed with, which is not shown again.
    #[schema(value_type = String)]
    pub secret: zeroize::Zeroizing<String>,
}

/// A webhook to be added, as it was typed.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// Where requests go.
    pub url: String,
    /// What they are signed with; random where nothing was typed.
    pub secret: Option<WebhookSecretText>,
    /// How they are signed; `beams` where nothing was typed.
    pub scheme: Option<String>,
    /// What it is told of; Beams' three where nothing was typed.
    pub events: Vec<String>,
    /// What it wants back.
    pub custom_data: Option<String>,
}

/// A secret as it was typed. `Debug` does not show it.
#[derive(Clone)]
pub struct WebhookSecretText(pub zeroize::Zeroizing<String>);

impl std::fmt::Debug for WebhookSecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecretText(…)")
    }
}

/// A webhook to be added, checked.
#[derive(Debug)]
pub struct New {
    /// Where requests go.
    pub url: WebhookUrl,
    /// What they are signed with, and how.
    pub secret: WebhookSecret,
    /// What it is told of.
    pub events: Events,
    /// What it wants back.
    pub custom_data: CustomData,
}

impl New {
    /// Checks what was typed. A URL that may not be called is refused here, as far as that can be said without asking a name
    /// server; what its name leads to is checked at every request.
    pub fn check(typed: &Typed, guard: &Guard) -> Result<Self, AdminError> {
        let url = url(&typed.url, guard)?;
        let scheme = match typed.scheme.as_deref() {
            None => Scheme::Beams,
            Some(word) => Scheme::parse(word)
                .ok_or_else(|| AdminError::field("scheme", "must be beams or standard"))?,
        };
        let secret = match &typed.secret {
            None => WebhookSecret::random(scheme),
            Some(WebhookSecretText(text)) => WebhookSecret::parse(scheme, text)
                .map_err(|error| AdminError::field("secret", error))?,
        };
        let custom_data = typed.custom_data.as_deref().map(custom_data).transpose()?;
        Ok(Self {
            url,
            secret,
            events: events(&typed.events)?,
            custom_data: custom_data.unwrap_or_default(),
        })
    }
}

/// What is to be changed of a webhook, as it was typed; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TypedChange {
    /// Where requests go.
    pub url: Option<String>,
    /// What it is told of; at least one.
    pub events: Option<Vec<String>>,
    /// What it wants back.
    pub custom_data: Option<String>,
}

/// Where requests may go, by this guard.
fn url(typed: &str, guard: &Guard) -> Result<WebhookUrl, AdminError> {
    let url = WebhookUrl::parse(typed).map_err(|e| AdminError::field("url", e))?;
    let refused = |error| {
        AdminError::field(
            "url",
            format!("{error}; the setting outbound.allow_webhooks makes exceptions"),
        )
    };
    guard.check_webhook(url.as_str()).map_err(refused)?;
    Ok(url)
}

fn custom_data(typed: &str) -> Result<CustomData, AdminError> {
    CustomData::parse(typed).map_err(|error| AdminError::field("customData", error))
}

/// The events with these names; Beams' three for none.
fn events(names: &[String]) -> Result<Events, AdminError> {
    if names.is_empty() {
        return Ok(Events::BEAMS);
    }
    chosen(names)
}

/// The events with these names, of which there is at least one.
fn chosen(names: &[String]) -> Result<Events, AdminError> {
    let known = names.iter().map(|name| EventType::parse(name));
    let chosen: Option<Vec<_>> = known.collect();
    chosen.and_then(Events::of).ok_or_else(|| {
        let choices = EventType::CHOICES.map(EventType::as_str).join(", ");
        AdminError::field("events", format!("must be some of {choices}"))
    })
}

impl Webhook {
    /// What may be shown of a webhook.
    pub fn of(record: &WebhookRecord) -> Self {
        let disabled = record.disabled.as_ref();
        let time = |at: Option<domain::clock::Timestamp>| at.map(|at| at.to_string());
        Self {
            id: record.id.to_string(),
            url: record.url.clone(),
            scheme: record.scheme.as_str(),
            events: record.events.iter().map(EventType::as_str).collect(),
            custom_data: raw(record.custom_data.as_str()),
            created_at: record.created_at.to_string(),
            state: if disabled.is_some() {
                "disabled"
            } else {
                "enabled"
            },
            disabled_since: time(disabled.map(|disabled| disabled.since)),
            disabled_reason: disabled.map(|disabled| disabled.reason.clone()),
            failing_since: time(record.failing_since),
            full_since: time(record.full_since),
        }
    }
}

/// JSON that was checked when it was kept.
fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Adds a webhook.
pub async fn add(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    new: New,
) -> Result<Added, AdminError> {
    let id = WebhookId::random();
    let sealed = admin.vault.seal_webhook_secret(instance, id, &new.secret)?;
    let record = record(id, &new, sealed, admin.now());
    let deed = Deed::new("webhook.add").at(instance).on(id);
    let add = move |admin: Admin| async move {
        if admin
            .store
            .add_webhook(instance, record, WEBHOOKS_MAX)
            .await?
        {
            Ok(())
        } else {
            Err(AdminError::Conflict(format!(
                "the instance has {WEBHOOKS_MAX} webhooks already; remove one first"
            )))
        }
    };
    admin.audited(actor, deed, add).await?;
    Ok(Added {
        id: id.to_string(),
        secret: new.secret.reveal().to_owned().into(),
    })
}

/// A new webhook as a store takes it.
pub fn record(
    id: WebhookId,
    new: &New,
    secret: domain::seal::Sealed,
    created_at: domain::clock::Timestamp,
) -> NewWebhook {
    NewWebhook {
        id,
        url: new.url.as_str().to_owned(),
        secret,
        scheme: new.secret.scheme(),
        events: new.events,
        custom_data: new.custom_data.clone(),
        created_at,
    }
}

/// The webhooks of an instance, in the order they were added.
pub async fn list(admin: &Admin, instance: InstanceId) -> Result<Vec<Webhook>, AdminError> {
    let all = admin.store.webhooks(instance).await?;
    Ok(all.iter().map(Webhook::of).collect())
}

/// One webhook.
pub async fn show(
    admin: &Admin,
    instance: InstanceId,
    id: WebhookId,
) -> Result<Webhook, AdminError> {
    Ok(Webhook::of(&one(admin, instance, id).await?))
}

async fn one(
    admin: &Admin,
    instance: InstanceId,
    id: WebhookId,
) -> Result<WebhookRecord, AdminError> {
    let all = admin.store.webhooks(instance).await?;
    let found = all.into_iter().find(|webhook| webhook.id == id);
    found.ok_or(UNKNOWN)
}

/// Changes a webhook; its id and its secret stay. What waits goes where it points now.
pub async fn change(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: WebhookId,
    typed: TypedChange,
) -> Result<Webhook, AdminError> {
    let deed = Deed::new("webhook.change").at(instance).on(id);
    let change = move |admin: Admin| async move {
        let record = one(&admin, instance, id).await?;
        let guard = admin.instances.guard();
        let url = typed.url.as_deref().map(|text| url(text, guard));
        let events = typed.events.as_deref().map(chosen).transpose()?;
        let custom_data = typed.custom_data.as_deref().map(custom_data).transpose()?;
        let change = WebhookChange {
            url: url
                .transpose()?
                .map_or(record.url, |url| url.as_str().to_owned()),
            events: events.unwrap_or(record.events),
            custom_data: custom_data.unwrap_or(record.custom_data),
        };
        known(admin.store.change_webhook(instance, id, change).await?)?;
        show(&admin, instance, id).await
    };
    admin.audited(actor, deed, change).await
}

/// Removes a webhook and all that waits for it.
pub async fn remove(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: WebhookId,
) -> Result<(), AdminError> {
    let deed = Deed::new("webhook.remove").at(instance).on(id);
    let remove =
        move |admin: Admin| async move { known(admin.store.remove_webhook(instance, id).await?) };
    admin.audited(actor, deed, remove).await
}

/// Enables a webhook: what happens from now on is told again.
pub async fn enable(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: WebhookId,
) -> Result<(), AdminError> {
    let deed = Deed::new("webhook.enable").at(instance).on(id);
    let enable = move |admin: Admin| async move {
        known(admin.store.set_webhook(instance, id, None).await?)
    };
    admin.audited(actor, deed, enable).await
}

/// Disables a webhook: what waits is given up, and what happens meanwhile is not told.
pub async fn disable(
    admin: &Admin,
    actor: &Actor,
    instance: InstanceId,
    id: WebhookId,
) -> Result<(), AdminError> {
    let disabled = Disabled {
        since: admin.now(),
        reason: BY_HAND.into(),
    };
    let deed = Deed::new("webhook.disable").at(instance).on(id);
    let disable = move |admin: Admin| async move {
        known(
            admin
                .store
                .set_webhook(instance, id, Some(disabled))
                .await?,
        )
    };
    admin.audited(actor, deed, disable).await
}

fn known(found: bool) -> Result<(), AdminError> {
    if found { Ok(()) } else { Err(UNKNOWN) }
}
