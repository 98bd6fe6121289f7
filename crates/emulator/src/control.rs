//! The control API: change behaviours and settings, make subscriptions, look at what arrived.
//!
//! Plain HTTP/1.1 with JSON, meant for loopback. It has no credentials, so it turns away requests that a web page
//! could make: those with an `Origin`, and those for another host name (DNS rebinding). Invariant: a request that is
//! refused changes nothing.

use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Error;
use crate::behaviour::{Behaviour, Gateway, Plan};
use crate::browser::Agents;
use crate::emulators::plan_key;
use crate::fcm::AccessTokens;
use crate::http::{Reply, Service, json as json_response};
use crate::journal::RECENT_MAX;
use crate::settings::{Change, Settings, Shared};
use crate::web_push::Registry;

/// How many plans of single tokens `GET /behaviours` shows per gateway.
const LISTED_PLANS_MAX: usize = 1000;

const HELP: &str = "GET /gateways, PUT /gateways/{gateway}, GET|PUT|DELETE /behaviours, GET /notifications, GET /totals, \
POST /reset, POST /subscriptions, DELETE /subscriptions/{id}, GET /browsers, POST /fcm/revoke";

/// The service behind the control listener.
pub(crate) struct Control {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    agents: Arc<Agents>,
    access: Arc<AccessTokens>,
    settings: Arc<Settings>,
}

/// Which plan a request is about.
#[derive(Deserialize)]
struct Place {
    gateway: Gateway,
    token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewSubscription {
    #[serde(default)]
    application_server_key: Option<String>,
}

type Answer = Result<(StatusCode, Value), Error>;

impl Control {
    pub(crate) fn new(
        shared: Arc<Shared>,
        registry: Arc<Registry>,
        agents: Arc<Agents>,
        access: Arc<AccessTokens>,
    ) -> Self {
        Self {
            shared,
            registry,
            agents,
            access,
            settings: Arc::default(),
        }
    }

    /// Those of the control listener itself.
    pub(crate) fn own_settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }

    fn route(&self, head: &Parts, body: &Bytes) -> Answer {
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        let change = [Method::PUT, Method::PATCH, Method::POST].contains(&head.method);
        match (&head.method, path.as_slice()) {
            (&Method::GET, [""]) => Ok((
                StatusCode::OK,
                json!({ "emulators": "heliostat", "help": HELP }),
            )),
            (&Method::GET, ["gateways"]) => Ok((StatusCode::OK, self.gateways())),
            (_, ["gateways", gateway]) if change => self.change(gateway, body),
            (&Method::GET, ["behaviours"]) => self.behaviours(),
            (_, ["behaviours"]) if change => self.set_behaviour(body),
            (&Method::DELETE, ["behaviours"]) => self.clear_behaviours(body),
            (&Method::GET, ["notifications"]) => self.notifications(head.uri.query().unwrap_or("")),
            (&Method::GET, ["totals"]) => Ok((StatusCode::OK, self.totals())),
            (&Method::POST, ["reset"]) => {
                self.shared.book.clear_all();
                self.shared.journal.reset();
                Ok((StatusCode::OK, json!({})))
            }
            (&Method::POST, ["subscriptions"]) => self.subscribe(body),
            (&Method::DELETE, ["subscriptions", id]) => self.unsubscribe(id),
            (&Method::GET, ["browsers"]) => Ok((StatusCode::OK, to_value(&self.agents.list())?)),
            (&Method::POST, ["fcm", "revoke"]) => {
                self.access.revoke_all();
                Ok((StatusCode::OK, json!({})))
            }
            _ => Ok((StatusCode::NOT_FOUND, problem(&format!("there is: {HELP}")))),
        }
    }

    fn gateways(&self) -> Value {
        Gateway::ALL
            .into_iter()
            .map(|gateway| {
                (
                    gateway.to_string(),
                    json!(self.shared.settings(gateway).read()),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn change(&self, gateway: &str, body: &[u8]) -> Answer {
        let gateway: Gateway = gateway.parse()?;
        let change: Change = parse(body)?;
        let settings = self.shared.settings(gateway);
        settings.apply(change)?;
        Ok((StatusCode::OK, to_value(&settings.read())?))
    }

    fn behaviours(&self) -> Answer {
        let mut all = serde_json::Map::new();
        for gateway in Gateway::ALL {
            let (default, tokens) = self.shared.book.list(gateway, LISTED_PLANS_MAX);
            let mut plans = serde_json::Map::new();
            for (token, plan) in tokens {
                plans.insert(token, to_value(&plan)?);
            }
            let default = default.unwrap_or_else(|| Behaviour::Ok.into());
            all.insert(
                gateway.to_string(),
                json!({ "default": to_value(&default)?, "tokens": plans }),
            );
        }
        Ok((StatusCode::OK, all.into()))
    }

    fn set_behaviour(&self, body: &[u8]) -> Answer {
        let mut body: Value = parse(body)?;
        let place = Place::deserialize(&body).map_err(wrong)?;
        let times = match body.get("times") {
            None | Some(Value::Null) => None,
            Some(times) => Some(NonZeroU32::deserialize(times).map_err(wrong)?),
        };
        if let Some(fields) = body.as_object_mut() {
            ["gateway", "token", "times"]
                .iter()
                .for_each(|field| drop(fields.remove(*field)));
        }
        let plan = Plan {
            behaviour: Behaviour::deserialize(body).map_err(wrong)?,
            times,
        };
        let shown = to_value(&plan)?;
        let token = place
            .token
            .as_deref()
            .map(|token| plan_key(place.gateway, token));
        self.shared.book.set(place.gateway, token, plan)?;
        Ok((StatusCode::OK, shown))
    }

    fn clear_behaviours(&self, body: &[u8]) -> Answer {
        if body.is_empty() {
            self.shared.book.clear_all();
        } else {
            let place: Place = parse(body)?;
            let token = place
                .token
                .as_deref()
                .map(|token| plan_key(place.gateway, token));
            self.shared.book.clear(place.gateway, token);
        }
        Ok((StatusCode::OK, json!({})))
    }

    fn notifications(&self, query: &str) -> Answer {
        let (mut gateway, mut token, mut limit) = (None, None, RECENT_MAX);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "gateway" => gateway = Some(value.parse::<Gateway>()?),
                "token" => token = Some(value.into_owned()),
                "limit" => limit = value.parse().map_err(|_| wrong("limit must be a number"))?,
                other => {
                    return Err(wrong(format!(
                        "no parameter is called {other:?}: gateway, token or limit"
                    )));
                }
            }
        }
        let recent = self.shared.journal.recent();
        let mut wanted: Vec<_> = recent
            .iter()
            .filter(|notification| gateway.is_none_or(|gateway| notification.gateway == gateway))
            .filter(|notification| {
                let key = token
                    .as_deref()
                    .map(|token| plan_key(notification.gateway, token));
                key.is_none_or(|key| notification.token == key)
            })
            .collect();
        let first = wanted.len().saturating_sub(limit);
        wanted.drain(..first);
        let shown = wanted
            .into_iter()
            .map(|notification| to_value(&**notification))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((StatusCode::OK, shown.into()))
    }

    fn totals(&self) -> Value {
        Gateway::ALL
            .into_iter()
            .map(|gateway| {
                (
                    gateway.to_string(),
                    json!(self.shared.journal.totals(gateway)),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn subscribe(&self, body: &[u8]) -> Answer {
        let body: &[u8] = if body.is_empty() { b"{}" } else { body };
        let new: NewSubscription = parse(body)?;
        let subscription = self
            .registry
            .create(new.application_server_key.as_deref())?;
        Ok((StatusCode::CREATED, to_value(&subscription)?))
    }

    fn unsubscribe(&self, id: &str) -> Answer {
        if self.registry.remove(id) {
            Ok((StatusCode::OK, json!({})))
        } else {
            Ok((
                StatusCode::NOT_FOUND,
                problem("there is no such subscription"),
            ))
        }
    }
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(wrong)
}

fn to_value(value: &impl serde::Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(wrong)
}

fn wrong(problem: impl std::fmt::Display) -> Error {
    Error::Request(format!("{problem}"))
}

fn problem(text: &str) -> Value {
    json!({ "error": text })
}

/// Whether a request can come from a person's own tools rather than from a page in their browser.
fn is_local(headers: &HeaderMap) -> bool {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("");
    let name = host.strip_prefix('[').map_or_else(
        || host.split(':').next().unwrap_or(""),
        |rest| rest.split(']').next().unwrap_or(""),
    );
    let is_name =
        name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok();
    is_name && !headers.contains_key(ORIGIN)
}

impl Service for Control {
    fn settings(&self) -> &Settings {
        &self.settings
    }

    fn answer(&self, head: &Parts, body: &Bytes) -> Reply {
        let answer = if is_local(&head.headers) {
            self.route(head, body)
        } else {
            Ok((
                StatusCode::FORBIDDEN,
                problem("only for tools on this machine, not for web pages"),
            ))
        };
        let (status, value) = match answer {
            Ok(answer) => answer,
            Err(error) => (StatusCode::BAD_REQUEST, problem(&error.to_string())),
        };
        let response: Response<Bytes> = json_response(status, format!("{value}\n"));
        Reply::Answer(response)
    }
}
