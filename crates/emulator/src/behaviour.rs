//! What a gateway has been told to do, per device token or for everybody.
//!
//! Owns the words of the control API for behaviours and the book in which the plans stand. It does not know how a
//! gateway words an answer; each gateway turns a [`Behaviour`] into its own dialect. Invariant: a plan with `times`
//! is used at most that often, whatever the concurrency, and then its token is well again.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The most plans for single tokens that one gateway holds.
pub const PLANS_MAX: usize = 1_000_000;

/// One of the emulated services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gateway {
    /// Apple's production service. A plan for a token here also holds on the sandbox, unless that has its own.
    Apns,
    /// Apple's sandbox.
    ApnsSandbox,
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Google's OAuth 2 token endpoint. Has no tokens of its own: only a default behaviour.
    FcmToken,
    /// The Web Push service.
    WebPush,
}

impl Gateway {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] = [
        Self::Apns,
        Self::ApnsSandbox,
        Self::Fcm,
        Self::FcmToken,
        Self::WebPush,
    ];

    /// The name used in JSON and in the control API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apns => "apns",
            Self::ApnsSandbox => "apns-sandbox",
            Self::Fcm => "fcm",
            Self::FcmToken => "fcm-token",
            Self::WebPush => "web-push",
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Gateway {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|gateway| gateway.as_str() == name)
            .ok_or_else(|| {
                Error::Request(format!(
                    "no gateway is called {name:?}: apns, apns-sandbox, fcm, fcm-token or web-push"
                ))
            })
    }
}

/// How a gateway treats a notification that is correct in itself. Incorrect ones are refused as the real service
/// refuses them, whatever the behaviour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "behaviour", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Behaviour {
    /// Accept it.
    #[default]
    Ok,
    /// The token is gone: APNs 410 `Unregistered`, FCM 404 `UNREGISTERED`, Web Push 410.
    Dead {
        /// APNs only: since when, in milliseconds since the Unix epoch. Without it: now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timestamp_ms: Option<i64>,
    },
    /// APNs only: `BadDeviceToken` on production, fine on the sandbox. Elsewhere like `ok`.
    SandboxOnly,
    /// 429, with `Retry-After` in seconds, or as an HTTP date so many seconds ahead, or without.
    Throttled {
        /// `Retry-After: N`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
        /// `Retry-After` as the HTTP date this many seconds from now. Wins over `retry_after_s`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_date_s: Option<u32>,
    },
    /// 500, or 503 with an optional `Retry-After`.
    ServerError {
        /// 500 to 599; 500 when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// `Retry-After: N`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
    },
    /// Take it and never answer.
    Hang,
    /// Close the HTTP/2 connection with GOAWAY.
    Goaway {
        /// False: answer, then GOAWAY. True: GOAWAY with a last stream id below this notification; it and all that
        /// come after it are not processed.
        #[serde(default)]
        abrupt: bool,
    },
    /// End the HTTP/2 stream with RST_STREAM.
    RstStream {
        /// The error code by name; `internal-error` when left out.
        #[serde(default)]
        code: ResetCode,
    },
    /// Drop the TCP connection without a word.
    Cut,
    /// Refuse the credential: APNs 403 `InvalidProviderToken`, FCM 403 `SENDER_ID_MISMATCH`, the token endpoint 400
    /// `invalid_grant`, Web Push 403.
    RefuseCredential {
        /// Another documented word, such as `ExpiredProviderToken` or `UNAUTHENTICATED`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Any refusal by the gateway's own word.
    Refuse {
        /// The gateway's word, such as `TopicDisallowed` or `THIRD_PARTY_AUTH_ERROR`.
        reason: String,
        /// 400 to 599; the documented status of the word when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
    },
    /// An answer that is not what the service's documentation says: no JSON, or far too much of it.
    Malformed {
        /// 200 to 599; 400 for APNs, 200 for FCM, 400 for Web Push when left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// A body of so many bytes, at most [`MALFORMED_BYTES_MAX`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<usize>,
    },
    /// 307 to somewhere else.
    Redirect {
        /// The `Location`.
        location: String,
    },
}

/// The largest body that [`Behaviour::Malformed`] makes: 16 MiB.
pub const MALFORMED_BYTES_MAX: usize = 16 << 20;

/// HTTP/2 error codes of RFC 9113 section 7 that a service plausibly resets a stream with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are those of RFC 9113 section 7")]
pub enum ResetCode {
    #[default]
    InternalError,
    RefusedStream,
    Cancel,
    EnhanceYourCalm,
    ProtocolError,
}

impl Behaviour {
    /// Checks the numbers that the types leave open.
    ///
    /// # Errors
    /// [`Error::Request`] names the field that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let within = |what: &str, value: Option<u16>, low: u16| match value {
            Some(value) if !(low..600).contains(&value) => Err(Error::Request(format!(
                "{what} must be {low} to 599, not {value}"
            ))),
            _ => Ok(()),
        };
        match self {
            Self::ServerError { status, .. } => within("status", *status, 500),
            Self::Refuse { status, .. } => within("status", *status, 400),
            Self::Malformed { status, bytes } => {
                if bytes.is_some_and(|bytes| bytes > MALFORMED_BYTES_MAX) {
                    return Err(Error::Request(format!(
                        "bytes must be at most {MALFORMED_BYTES_MAX}"
                    )));
                }
                within("status", *status, 200)
            }
            _ => Ok(()),
        }
    }
}

/// A behaviour and for how many notifications it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What to do.
    #[serde(flatten)]
    pub behaviour: Behaviour,
    /// How often it is still done; without it, always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU32>,
}

impl From<Behaviour> for Plan {
    fn from(behaviour: Behaviour) -> Self {
        Self {
            behaviour,
            times: None,
        }
    }
}

/// All plans of one gateway.
#[derive(Default)]
struct Page {
    /// How many plans there are, the default included; lets the usual case pass without the lock.
    plans: AtomicUsize,
    inner: Mutex<PageInner>,
}

#[derive(Default)]
struct PageInner {
    default: Option<Plan>,
    tokens: HashMap<Box<str>, Plan>,
}

impl Page {
    fn with<T>(&self, change: impl FnOnce(&mut PageInner) -> T) -> T {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut inner);
        self.plans.store(
            inner.tokens.len() + usize::from(inner.default.is_some()),
            Ordering::Release,
        );
        result
    }

    fn is_blank(&self) -> bool {
        self.plans.load(Ordering::Acquire) == 0
    }
}

/// Takes one use of the plan in `slot`; `true` when it is used up.
fn spend(plan: &mut Plan) -> bool {
    match plan.times {
        None => false,
        Some(left) => match NonZeroU32::new(left.get() - 1) {
            Some(left) => {
                plan.times = Some(left);
                false
            }
            None => true,
        },
    }
}

/// The plans of all gateways.
#[derive(Default)]
pub(crate) struct Book {
    pages: [Page; Gateway::ALL.len()],
}

impl Book {
    /// What to do with the next notification to `token`, and counts it against the plan's `times`.
    pub(crate) fn take(&self, gateway: Gateway, token: &str) -> Behaviour {
        self.find(gateway, token, true)
    }

    /// Like [`Book::take`], but does not count.
    pub(crate) fn peek(&self, gateway: Gateway, token: &str) -> Behaviour {
        self.find(gateway, token, false)
    }

    fn find(&self, gateway: Gateway, token: &str, count: bool) -> Behaviour {
        let fallback = (gateway == Gateway::ApnsSandbox).then_some(Gateway::Apns);
        self.of_token(gateway, token, count)
            .or_else(|| fallback.and_then(|gateway| self.of_token(gateway, token, count)))
            .or_else(|| self.of_default(gateway, count))
            .unwrap_or_default()
    }

    fn of_token(&self, gateway: Gateway, token: &str, count: bool) -> Option<Behaviour> {
        let page = &self.pages[gateway.index()];
        if page.is_blank() {
            return None;
        }
        page.with(|inner| {
            let plan = inner.tokens.get_mut(token)?;
            let behaviour = plan.behaviour.clone();
            if count && spend(plan) {
                inner.tokens.remove(token);
            }
            Some(behaviour)
        })
    }

    fn of_default(&self, gateway: Gateway, count: bool) -> Option<Behaviour> {
        let page = &self.pages[gateway.index()];
        if page.is_blank() {
            return None;
        }
        page.with(|inner| {
            let plan = inner.default.as_mut()?;
            let behaviour = plan.behaviour.clone();
            if count && spend(plan) {
                inner.default = None;
            }
            Some(behaviour)
        })
    }

    /// Sets the plan of one token, or with `None` the gateway's default. `ok` without `times` is kept as a plan too:
    /// it shields a token from the default.
    pub(crate) fn set(
        &self,
        gateway: Gateway,
        token: Option<&str>,
        plan: Plan,
    ) -> Result<(), Error> {
        plan.behaviour.check()?;
        self.pages[gateway.index()].with(|inner| {
            let Some(token) = token else {
                inner.default = Some(plan);
                return Ok(());
            };
            if gateway == Gateway::FcmToken {
                return Err(Error::Request(
                    "fcm-token has only a default behaviour".to_owned(),
                ));
            }
            if inner.tokens.len() >= PLANS_MAX && !inner.tokens.contains_key(token) {
                return Err(Error::Request(format!(
                    "{gateway} already has {PLANS_MAX} behaviours"
                )));
            }
            inner.tokens.insert(token.into(), plan);
            Ok(())
        })
    }

    /// Forgets the plan of one token, or with `None` the gateway's default.
    pub(crate) fn clear(&self, gateway: Gateway, token: Option<&str>) {
        self.pages[gateway.index()].with(|inner| match token {
            Some(token) => drop(inner.tokens.remove(token)),
            None => inner.default = None,
        });
    }

    /// Forgets everything.
    pub(crate) fn clear_all(&self) {
        for page in &self.pages {
            page.with(|inner| *inner = PageInner::default());
        }
    }

    /// The gateway's default and up to `limit` plans of single tokens, in no order.
    pub(crate) fn list(
        &self,
        gateway: Gateway,
        limit: usize,
    ) -> (Option<Plan>, Vec<(String, Plan)>) {
        self.pages[gateway.index()].with(|inner| {
            let tokens = inner.tokens.iter().take(limit);
            let tokens =
                tokens.map(|(token, plan)| (Borrow::<str>::borrow(token).to_owned(), plan.clone()));
            (inner.default.clone(), tokens.collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> Behaviour {
        Behaviour::Dead { timestamp_ms: None }
    }

    #[test]
    fn a_plan_with_times_is_used_so_often_and_then_gone() {
        let book = Book::default();
        let twice = Plan {
            behaviour: dead(),
            times: NonZeroU32::new(2),
        };
        book.set(Gateway::Fcm, Some("t"), twice.clone()).unwrap();
        book.set(Gateway::WebPush, None, twice).unwrap();
        for gateway in [Gateway::Fcm, Gateway::WebPush] {
            assert_eq!(book.peek(gateway, "t"), dead());
            assert_eq!(book.take(gateway, "t"), dead());
            assert_eq!(book.take(gateway, "t"), dead());
            assert_eq!(book.take(gateway, "t"), Behaviour::Ok);
        }
    }

    #[test]
    fn a_token_comes_before_the_default_and_the_sandbox_before_production() {
        let book = Book::default();
        book.set(Gateway::Apns, None, Behaviour::Hang.into())
            .unwrap();
        book.set(Gateway::Apns, Some("a"), Behaviour::Ok.into())
            .unwrap();
        book.set(Gateway::Apns, Some("b"), dead().into()).unwrap();
        book.set(Gateway::ApnsSandbox, Some("b"), Behaviour::Cut.into())
            .unwrap();
        assert_eq!(book.take(Gateway::Apns, "a"), Behaviour::Ok);
        assert_eq!(book.take(Gateway::Apns, "c"), Behaviour::Hang);
        assert_eq!(book.take(Gateway::Apns, "b"), dead());
        assert_eq!(book.take(Gateway::ApnsSandbox, "b"), Behaviour::Cut);
        assert_eq!(
            book.take(Gateway::ApnsSandbox, "c"),
            Behaviour::Ok,
            "production's default is not the sandbox's"
        );
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for text in [
            r#"{"behaviour":"server-error","status":200}"#,
            r#"{"behaviour":"refuse","reason":"x","status":600}"#,
            r#"{"behaviour":"malformed","bytes":99999999}"#,
        ] {
            let behaviour: Behaviour = serde_json::from_str(text).unwrap();
            assert!(
                matches!(behaviour.check(), Err(Error::Request(_))),
                "{text}"
            );
        }
        assert!(serde_json::from_str::<Behaviour>(r#"{"behaviour":"dead","when":1}"#).is_err());
        assert!(serde_json::from_str::<Behaviour>(r#"{"behaviour":"odd"}"#).is_err());
    }
}
