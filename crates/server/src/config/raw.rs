//! The settings as they are written, and the one check that makes a [`Config`] of them.

mod inbound;

use std::path::Path;
use std::time::Duration;

use delivery::gates::HostLimits;
use delivery::runner::{Keep, Settings};
use delivery::webhooks::WebhookSettings;
use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

use crate::limits::RateLimits;

use super::database::{self, RawPostgres};
use super::layers::in_one_line;
use super::traces::{self, RawTraces};
use super::{Config, ConfigError, Limits, ListLimits, Log, LogFormat, Outbound, Remote, Roles};
use inbound::{RawAcme, RawMetrics, RawProxies, RawTls};

const DAY_SECS: i64 = 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: String,
    database: String,
    roles: Vec<String>,
    server: String,
    admin_token: zeroize::Zeroizing<String>,
    public_url: String,
    master_key_file: String,
    worker_threads: i64,
    core_dumps: bool,
    postgres: RawPostgres,
    tls: RawTls,
    acme: RawAcme,
    proxies: RawProxies,
    metrics: RawMetrics,
    apns: RawApns,
    fcm: RawFcm,
    web_push: RawWebPush,
    outbound: RawOutbound,
    limits: RawLimits,
    delivery: RawDelivery,
    webhooks: RawWebhooks,
    traces: RawTraces,
    retention: RawRetention,
    log: RawLog,
    shutdown: RawShutdown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawApns {
    url: String,
    sandbox_url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFcm {
    url: String,
    deliveries_per_minute_max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebPush {
    contact: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutbound {
    ca_file: String,
    allow: Vec<String>,
    allow_webhooks: Vec<String>,
    deny: Vec<String>,
    request_timeout_secs: i64,
    connect_timeout_secs: i64,
    connections_per_host_max: i64,
    in_flight_per_connection_max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    connections_max: i64,
    connections_per_address_max: i64,
    held_bytes_max: i64,
    url_bytes_max: i64,
    body_bytes_max: i64,
    json_depth_max: i64,
    http2_resets_max: i64,
    publishes_per_second_max: i64,
    devices_per_instance: i64,
    registrations_per_address_per_minute_max: i64,
    registrations_per_instance_per_minute_max: i64,
    header_bytes_max: i64,
    header_timeout_secs: i64,
    request_timeout_secs: i64,
    idle_timeout_secs: i64,
    http2_streams_max: i64,
    listed_users_max: i64,
    listed_interests_max: i64,
    listed_bytes_max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDelivery {
    page_length: i64,
    in_flight_max: i64,
    express_jobs_max: i64,
    bulk_jobs_max: i64,
    lease_secs: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWebhooks {
    timeout_secs: i64,
    disable_after_days: i64,
    waiting_max: i64,
    keep_days: i64,
    keep_max: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetention {
    publishes_days: i64,
    events_days: i64,
    hours_days: i64,
    insights_days: i64,
    payloads_days: i64,
    users_days: i64,
    audit_days: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    filter: String,
    format: String,
    client_addresses: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawShutdown {
    grace_secs: i64,
}

pub(super) fn check(
    merged: toml::Table,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let raw: RawConfig = merged
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError::Defaults(error.message().to_owned()))?;
    let database = database::parse(&raw.database)?;
    let public_url = set(&raw.public_url).map(public_url).transpose()?;
    let roles = Roles::parse(&raw.roles).map_err(|message| invalid("roles", message))?;
    let master_key_source = database::master_key_source(&raw.master_key_file, &database, env)?;
    let remote = Remote::check(set(&raw.server), set(&raw.admin_token))?;
    let threads = within("worker_threads", raw.worker_threads, 0, 1024)?;
    Ok(Config {
        listen: raw.listen.parse().map_err(|_| {
            invalid(
                "listen",
                "must be an IP address and a port, such as 127.0.0.1:8080",
            )
        })?,
        outbound: outbound(&raw, public_url.as_deref())?,
        limits: limits(&raw.limits)?,
        log: log(&raw.log)?,
        traces: traces::check(&raw.traces)?,
        tls: inbound::tls(&raw.tls, &raw.acme)?,
        proxies: inbound::proxies(&raw.proxies)?,
        metrics_listen: inbound::metrics_listen(&raw.metrics)?,
        delivery: Settings {
            is_worker: roles.worker,
            ..delivery(&raw)?
        },
        roles,
        shutdown_grace: secs(
            "shutdown.grace_secs",
            within("shutdown.grace_secs", raw.shutdown.grace_secs, 0, 3600)?,
        )?,
        core_dumps: raw.core_dumps,
        accept_lost_log: false,
        worker_threads: usize::try_from(threads).ok().filter(|threads| *threads > 0),
        postgres: database::postgres(&raw.postgres)?,
        database,
        remote,
        public_url,
        master_key_source,
    })
}

pub(super) fn invalid(key: &'static str, message: impl Into<String>) -> ConfigError {
    ConfigError::Invalid {
        key,
        message: message.into(),
    }
}

/// The empty text means "not set".
pub(super) fn set(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

pub(super) fn within(
    key: &'static str,
    value: i64,
    min: i64,
    max: i64,
) -> Result<i64, ConfigError> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(invalid(key, format!("must be from {min} to {max}")))
    }
}

pub(super) fn count(
    key: &'static str,
    value: i64,
    min: i64,
    max: i64,
) -> Result<usize, ConfigError> {
    usize::try_from(within(key, value, min, max)?).map_err(|_| invalid(key, "is too large"))
}

pub(super) fn secs(key: &'static str, value: i64) -> Result<Duration, ConfigError> {
    u64::try_from(value)
        .map(Duration::from_secs)
        .map_err(|_| invalid(key, "must not be negative"))
}

/// A time that something may take: a second to an hour.
fn timeout(key: &'static str, value: i64) -> Result<Duration, ConfigError> {
    secs(key, within(key, value, 1, 3600)?)
}

fn networks(key: &'static str, texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let network = |text: &String| {
        let parsed = text.parse::<IpNet>();
        parsed.map_err(|_| invalid(key, format!("{text:?} is no network such as 127.0.0.0/8")))
    };
    texts.iter().map(network).collect()
}

fn web_url(key: &'static str, text: &str) -> Result<Url, ConfigError> {
    let bad = || {
        invalid(
            key,
            "must be an http:// or https:// URL without user, query or fragment",
        )
    };
    let url = Url::parse(text.trim()).map_err(|_| bad())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(bad()) }
}

fn public_url(text: &str) -> Result<String, ConfigError> {
    let url = web_url("public_url", text)?;
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn outbound(raw: &RawConfig, public_url: Option<&str>) -> Result<Outbound, ConfigError> {
    let own = &raw.outbound;
    let contact = match set(&raw.web_push.contact) {
        Some(contact) if contact.starts_with("mailto:") || contact.starts_with("https:") => {
            Some(contact)
        }
        Some(_) => {
            return Err(invalid(
                "web_push.contact",
                "must be a mailto: or https: URL",
            ));
        }
        None => public_url.filter(|url| url.starts_with("https:")),
    };
    Ok(Outbound {
        apns_url: web_url("apns.url", &raw.apns.url)?,
        apns_sandbox_url: web_url("apns.sandbox_url", &raw.apns.sandbox_url)?,
        fcm_url: web_url("fcm.url", &raw.fcm.url)?,
        vapid_contact: contact.map(str::to_owned),
        extra_ca_pem: set(&own.ca_file)
            .map(|path| read_ca(Path::new(path)))
            .transpose()?,
        allow: networks("outbound.allow", &own.allow)?,
        allow_webhooks: networks("outbound.allow_webhooks", &own.allow_webhooks)?,
        deny: networks("outbound.deny", &own.deny)?,
        request_timeout: timeout("outbound.request_timeout_secs", own.request_timeout_secs)?,
        connect_timeout: timeout("outbound.connect_timeout_secs", own.connect_timeout_secs)?,
        webhook_timeout: secs(
            "webhooks.timeout_secs",
            within("webhooks.timeout_secs", raw.webhooks.timeout_secs, 1, 20)?,
        )?,
        connections_per_host_max: count(
            "outbound.connections_per_host_max",
            own.connections_per_host_max,
            1,
            1000,
        )?,
        in_flight_per_connection_max: count(
            "outbound.in_flight_per_connection_max",
            own.in_flight_per_connection_max,
            1,
            10_000,
        )?,
    })
}

fn read_ca(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Unreadable {
        what: "the file of `outbound.ca_file`",
        path: path.to_owned(),
        source,
    })
}

fn delivery(raw: &RawConfig) -> Result<Settings, ConfigError> {
    let own = &raw.delivery;
    let many = 100_000;
    let fcm = "fcm.deliveries_per_minute_max";
    let fcm_per_minute_max = u32::try_from(within(
        fcm,
        raw.fcm.deliveries_per_minute_max,
        0,
        1_000_000_000,
    )?)
    .map_err(|_| invalid(fcm, "is too large"))?;
    Ok(Settings {
        hosts: HostLimits {
            fcm_per_minute_max,
            ..HostLimits::default()
        },
        page_length: count("delivery.page_length", own.page_length, 1, many)?,
        in_flight_max: count("delivery.in_flight_max", own.in_flight_max, 1, many)?,
        express_jobs_max: count("delivery.express_jobs_max", own.express_jobs_max, 1, many)?,
        bulk_jobs_max: count("delivery.bulk_jobs_max", own.bulk_jobs_max, 1, many)?,
        lease: timeout("delivery.lease_secs", own.lease_secs)?,
        keep: keep(&raw.retention)?,
        webhooks: webhooks(&raw.webhooks)?,
        ..Settings::default()
    })
}

fn keep(raw: &RawRetention) -> Result<Keep, ConfigError> {
    let days = |key, days| secs(key, within(key, days, 1, 36_500)?.saturating_mul(DAY_SECS));
    Ok(Keep {
        publishes: days("retention.publishes_days", raw.publishes_days)?,
        payloads: days("retention.payloads_days", raw.payloads_days)?,
        names: days("retention.users_days", raw.users_days)?,
        audit: days("retention.audit_days", raw.audit_days)?,
        events: days("retention.events_days", raw.events_days)?,
        hours: days("retention.hours_days", raw.hours_days)?,
        insights: days("retention.insights_days", raw.insights_days)?,
    })
}

fn webhooks(raw: &RawWebhooks) -> Result<WebhookSettings, ConfigError> {
    let days = |key, value: i64| {
        let days = within(key, value, 1, 3650)?;
        secs(key, days.saturating_mul(DAY_SECS))
    };
    let many = 100_000_000;
    Ok(WebhookSettings {
        disable_after: days("webhooks.disable_after_days", raw.disable_after_days)?,
        waiting_max: count("webhooks.waiting_max", raw.waiting_max, 1, many)?,
        keep: days("webhooks.keep_days", raw.keep_days)?,
        keep_max: count("webhooks.keep_max", raw.keep_max, 1, many)?,
    })
}

fn list_limits(raw: &RawLimits) -> Result<ListLimits, ConfigError> {
    let users = count(
        "limits.listed_users_max",
        raw.listed_users_max,
        1,
        100_000_000,
    )?;
    let interests = raw.listed_interests_max;
    Ok(ListLimits {
        users_max: users as u64,
        interests_max: count("limits.listed_interests_max", interests, 1, 100_000)?,
        bytes_max: count(
            "limits.listed_bytes_max",
            raw.listed_bytes_max,
            1 << 10,
            1 << 36,
        )?,
    })
}

fn limits(raw: &RawLimits) -> Result<Limits, ConfigError> {
    let streams = count(
        "limits.http2_streams_max",
        raw.http2_streams_max,
        1,
        100_000,
    )?;
    Ok(Limits {
        connections_max: count("limits.connections_max", raw.connections_max, 1, 1_000_000)?,
        // hyper wants room for 8 KiB at least.
        header_bytes_max: count(
            "limits.header_bytes_max",
            raw.header_bytes_max,
            8192,
            1 << 20,
        )?,
        header_timeout: timeout("limits.header_timeout_secs", raw.header_timeout_secs)?,
        request_timeout: timeout("limits.request_timeout_secs", raw.request_timeout_secs)?,
        idle_timeout: timeout("limits.idle_timeout_secs", raw.idle_timeout_secs)?,
        http2_streams_max: u32::try_from(streams)
            .map_err(|_| invalid("limits.http2_streams_max", "is too large"))?,
        lists: list_limits(raw)?,
        connections_per_address_max: count(
            "limits.connections_per_address_max",
            raw.connections_per_address_max,
            0,
            1_000_000,
        )?,
        body_bytes_max: count("limits.body_bytes_max", raw.body_bytes_max, 1024, 1 << 20)?,
        held_bytes_max: match raw.held_bytes_max {
            0 => 0,
            // So that a quarter of it holds the largest bodies and answers.
            most => count("limits.held_bytes_max", most, 1 << 24, 1 << 40)?,
        },
        url_bytes_max: count("limits.url_bytes_max", raw.url_bytes_max, 2048, 1 << 16)?,
        // What a value is read with goes no deeper than 127.
        json_depth_max: count("limits.json_depth_max", raw.json_depth_max, 8, 120)?,
        http2_resets_max: count("limits.http2_resets_max", raw.http2_resets_max, 1, 100_000)?,
        rates: rate_limits(raw)?,
        devices_per_instance_max: match raw.devices_per_instance {
            0 => None,
            most => Some(count("limits.devices_per_instance", most, 0, i64::MAX)? as u64),
        },
    })
}

fn rate_limits(raw: &RawLimits) -> Result<RateLimits, ConfigError> {
    let rate = |key: &'static str, value: i64| {
        u32::try_from(within(key, value, 0, 1_000_000_000)?)
            .map_err(|_| invalid(key, "is too large"))
    };
    Ok(RateLimits {
        publishes_per_second_max: rate(
            "limits.publishes_per_second_max",
            raw.publishes_per_second_max,
        )?,
        registrations_per_address_per_minute_max: rate(
            "limits.registrations_per_address_per_minute_max",
            raw.registrations_per_address_per_minute_max,
        )?,
        registrations_per_instance_per_minute_max: rate(
            "limits.registrations_per_instance_per_minute_max",
            raw.registrations_per_instance_per_minute_max,
        )?,
    })
}

fn log(raw: &RawLog) -> Result<Log, ConfigError> {
    let format = match raw.format.as_str() {
        "auto" => LogFormat::Auto,
        "human" => LogFormat::Human,
        "json" => LogFormat::Json,
        _ => return Err(invalid("log.format", "must be auto, human or json")),
    };
    tracing_subscriber::EnvFilter::builder()
        .parse(&raw.filter)
        .map_err(|error| invalid("log.filter", in_one_line(&error.to_string())))?;
    Ok(Log {
        filter: raw.filter.clone(),
        format,
        client_addresses: raw.client_addresses,
    })
}
