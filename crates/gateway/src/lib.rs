//! How deliveries reach devices: APNs, FCM and Web Push behind one [`Channel::send`].
//!
//! Each gateway is a module with the same parts: `auth` or `vapid` (who we are), `request` (what is sent), `response` (what
//! the answer means; the only place that knows the gateway's error words). All of them share the outbound client in `http`.
//! Nothing here decides what an outcome leads to, retries by schedule, or knows of a store.

mod apns;
mod fcm;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod host_sign;
mod http;
#[cfg(feature = "simulation")]
mod scripted;
mod shelf;
mod webhook;
mod webpush;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::clock::Clock;
use domain::credential::{ApnsCredential, FcmCredential};
use domain::device::{ApnsEnvironment, GatewayToken, Platform, Recipient};
use domain::jws::Es256Key;
use domain::outcome::Outcome;
use domain::payload::Rendered;
use domain::publish::PublishId;
use url::Url;

pub use host_sign::HostSign;
pub use http::{Guard, Refused, Resolver, SystemResolver, client_tls, http_date};
#[cfg(feature = "simulation")]
pub use scripted::Script;
pub use shelf::{ShelfFailed, Shelved, Token, TokenShelf};
pub use webhook::{POSTS_MAX, POSTS_PER_WEBHOOK_MAX, Post, Posted, Webhooks};

/// How gateways are reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// Base URL of APNs.
    pub apns_url: String,
    /// Base URL of APNs' sandbox.
    pub apns_sandbox_url: String,
    /// Base URL of FCM.
    pub fcm_url: String,
    /// Roots to trust besides the system's, in PEM.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// Networks that URLs chosen by others may lead to although they are not public, on any port.
    pub outbound_allow: Vec<ipnet::IpNet>,
    /// Networks that webhooks alone may lead to besides.
    pub outbound_allow_webhooks: Vec<ipnet::IpNet>,
    /// Networks that no URL chosen by others may lead to, though they are public or allowed.
    pub outbound_deny: Vec<ipnet::IpNet>,
    /// Whom a push service may turn to, `mailto:…` or `https:…`; empty for nobody. RFC 8292 section 2.1 asks for it, and
    /// Apple refuses tokens without.
    pub vapid_contact: String,
    /// How long a request may wait for its answer.
    pub request_timeout: Duration,
    /// How long a connection may take until it can be used; to hosts that others named, 3 seconds at most.
    pub connect_timeout: Duration,
    /// How many connections one host gets.
    pub connections_per_host_max: usize,
    /// How many requests are under way at once on one connection, if the far side allows so many.
    pub in_flight_per_connection_max: usize,
    /// How long a webhook's receiver may take to answer. Beams: webhooks.
    pub webhook_timeout: Duration,
    /// Who is asked for the addresses of names.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            apns_url: "https://api.push.apple.com".into(),
            apns_sandbox_url: "https://api.sandbox.push.apple.com".into(),
            fcm_url: "https://fcm.googleapis.com".into(),
            extra_ca_pem: None,
            outbound_allow: Vec::new(),
            outbound_allow_webhooks: Vec::new(),
            outbound_deny: Vec::new(),
            vapid_contact: String::new(),
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            connections_per_host_max: 4,
            in_flight_per_connection_max: 500,
            webhook_timeout: Duration::from_secs(3),
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// Why the gateways cannot be used as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// A base URL is not of the form `https://host[:port]`.
    #[error("the {which} URL {url:?} is not of the form https://host[:port]")]
    Url {
        /// Whose URL.
        which: &'static str,
        /// What was configured.
        url: String,
    },
    /// The contact is neither `mailto:` nor `https:`.
    #[error("the VAPID contact {0:?} is neither a mailto: nor an https: URL")]
    Contact(String),
    /// The extra roots are no PEM file with certificates.
    #[error(
        "the extra root certificates cannot be read: a PEM file with at least one certificate is needed"
    )]
    ExtraCa,
    /// Neither the system nor the configuration has a root certificate.
    #[error(
        "there are no root certificates: install the system's (package ca-certificates), or configure an extra one"
    )]
    NoRoots,
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Tls,
}

struct Inner {
    http: http::HttpClient,
    /// For Google's tokens: apart, since whoever names push services must not come between them.
    tokens: http::HttpClient,
    webhooks: http::HttpClient,
    clock: Arc<dyn Clock>,
    apns: apns::Registry,
    fcm: fcm::Registry,
    web: webpush::Registry,
    /// Set once, by whoever shares tokens or by the first who needs one.
    shelf: OnceLock<Arc<dyn TokenShelf>>,
}

/// All gateways. Cheap to clone.
#[derive(Clone)]
pub struct Gateways {
    inner: Arc<Inner>,
    #[cfg(feature = "simulation")]
    script: Option<Arc<dyn Script>>,
}

impl Gateways {
    /// Reads the root certificates and checks the configuration; connects to nothing yet.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, GatewayError> {
        let http = http::HttpClient::new(&config)?;
        let production = base_target("APNs", &config.apns_url)?;
        let sandbox = base_target("APNs sandbox", &config.apns_sandbox_url)?;
        let fcm = base_target("FCM", &config.fcm_url)?;
        let contact = config.vapid_contact;
        let fine = contact.is_empty()
            || Url::parse(&contact).is_ok_and(|url| matches!(url.scheme(), "mailto" | "https"));
        if !fine {
            return Err(GatewayError::Contact(contact));
        }
        let connections_max = config.connections_per_host_max.max(1);
        let guard = http.guard().clone();
        let guard_of_webhooks = guard.of_webhooks();
        let tokens = http.separate(guard, config.request_timeout, connections_max);
        let inner = Inner {
            apns: apns::Registry::new(production, sandbox),
            fcm: fcm::Registry::new(fcm, tokens.clone()),
            web: webpush::Registry::new(contact.into()),
            tokens,
            webhooks: http.separate(
                guard_of_webhooks,
                config.webhook_timeout,
                POSTS_PER_WEBHOOK_MAX,
            ),
            http,
            clock,
            shelf: OnceLock::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            #[cfg(feature = "simulation")]
            script: None,
        })
    }

    /// The same, but that `script` answers every delivery and nothing is sent anywhere.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub fn scripted(&self, script: Arc<dyn Script>) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            script: Some(script),
        }
    }

    /// Shares provider and access tokens with other nodes by this shelf. To be called before any channel is made; afterwards it
    /// has no effect, and is refused.
    ///
    /// # Errors
    /// The shelf, where it came too late.
    pub fn share_tokens(&self, shelf: Arc<dyn TokenShelf>) -> Result<(), Arc<dyn TokenShelf>> {
        self.inner.shelf.set(shelf)
    }

    fn shelf(&self) -> &Arc<dyn TokenShelf> {
        self.inner
            .shelf
            .get_or_init(|| Arc::new(shelf::OwnShelf::default()))
    }

    /// The way to APNs for whoever holds this credential. Channels of the same credential share connections and token.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the callers hold it to hand it over"
    )]
    pub fn apns(&self, credential: Arc<ApnsCredential>) -> Channel {
        let inner = &self.inner;
        let gateway = inner
            .apns
            .gateway(&credential, &inner.http, &inner.clock, self.shelf());
        self.channel(Way::Apns(gateway))
    }

    /// The way to FCM for whoever holds this credential. Channels of the same credential share connections and token.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the callers hold it to hand it over"
    )]
    pub fn fcm(&self, credential: Arc<FcmCredential>) -> Channel {
        let inner = &self.inner;
        let gateway = inner
            .fcm
            .gateway(&credential, &inner.http, &inner.clock, self.shelf());
        self.channel(Way::Fcm(gateway))
    }

    /// The way to all Web Push services for the instance with this VAPID key. Connections are shared by all instances,
    /// VAPID tokens by the channels of the same key.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the callers hold it to hand it over"
    )]
    pub fn web_push(&self, vapid: Arc<Es256Key>) -> Channel {
        let inner = &self.inner;
        let gateway = inner.web.gateway(&vapid, &inner.http, &inner.clock);
        self.channel(Way::Web(gateway))
    }

    fn channel(&self, way: Way) -> Channel {
        #[cfg(feature = "simulation")]
        if let Some(script) = &self.script {
            return Channel(Way::Scripted(way.platform(), Arc::clone(script)));
        }
        Channel(way)
    }

    /// The way to all webhooks, with connections of its own.
    pub fn webhooks(&self) -> Webhooks {
        #[cfg(feature = "simulation")]
        if let Some(script) = &self.script {
            return Webhooks::scripted(Arc::clone(script));
        }
        Webhooks::new(self.inner.webhooks.clone())
    }

    /// The guard that URLs chosen by others have to pass.
    pub fn guard(&self) -> &Guard {
        self.inner.http.guard()
    }

    /// Takes no new deliveries, waits until those under way are answered or have timed out, and ends all connections.
    pub async fn close(&self) {
        tokio::join!(
            self.inner.http.close(),
            self.inner.tokens.close(),
            self.inner.webhooks.close()
        );
    }
}

impl fmt::Debug for Gateways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gateways")
    }
}

#[derive(Clone)]
enum Way {
    Apns(Arc<apns::Apns>),
    Fcm(Arc<fcm::Fcm>),
    Web(Arc<webpush::WebPush>),
    #[cfg(feature = "simulation")]
    Scripted(Platform, Arc<dyn Script>),
}

impl Way {
    fn platform(&self) -> Platform {
        match self {
            Self::Apns(_) => Platform::Apns,
            Self::Fcm(_) => Platform::Fcm,
            Self::Web(_) => Platform::Web,
            #[cfg(feature = "simulation")]
            Self::Scripted(platform, _) => *platform,
        }
    }
}

/// One instance's way to one gateway. A clone shares connections and provider token.
#[derive(Clone)]
pub struct Channel(Way);

impl Channel {
    /// The platform whose devices it reaches.
    pub fn platform(&self) -> Platform {
        self.0.platform()
    }

    /// Hands a delivery to the gateway. Every failure of the way is an outcome too; a delivery whose recipient or payload is
    /// of another platform is rejected. Dropping the future gives the request up.
    pub async fn send(&self, delivery: &Delivery<'_>) -> Attempt {
        match &self.0 {
            Way::Apns(apns) => apns.send(delivery).await,
            Way::Fcm(fcm) => fcm.send(delivery).await,
            Way::Web(web) => web.send(delivery).await.into(),
            #[cfg(feature = "simulation")]
            Way::Scripted(platform, script) => script.send(*platform, delivery).await,
        }
    }

    /// Whether the host that this token leads to is known to answer: the gateways' own are, a Web Push service is once it has.
    pub fn knows_host_of(&self, token: &GatewayToken) -> bool {
        match (&self.0, token) {
            (Way::Web(web), GatewayToken::Web(subscription)) => web.knows(subscription.origin()),
            (Way::Web(_), _) => false,
            #[cfg(feature = "simulation")]
            (Way::Scripted(platform, _), _) => *platform != Platform::Web,
            (Way::Apns(_) | Way::Fcm(_), _) => true,
        }
    }

    /// How many sends are useful at once now: what the gateway's SETTINGS and our own limits allow on all connections that
    /// there may be. More are not wrong, they wait.
    pub fn in_flight_limit(&self) -> usize {
        match &self.0 {
            Way::Apns(apns) => apns.in_flight_limit(),
            Way::Fcm(fcm) => fcm.in_flight_limit(),
            Way::Web(web) => web.in_flight_limit(),
            #[cfg(feature = "simulation")]
            Way::Scripted(platform, script) => script.in_flight_limit(*platform),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({})", self.platform())
    }
}

/// One publish to one device. `Debug` shows neither the payload nor the gateway token.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// The publish.
    pub publish: PublishId,
    /// The device.
    pub recipient: &'a Recipient,
    /// What the device gets.
    pub payload: &'a Rendered,
}

impl fmt::Debug for Delivery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Delivery({} to {:?})",
            self.publish, self.recipient.device
        )
    }
}

/// What became of handing a delivery over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What became of it.
    pub outcome: Outcome,
    /// Which of Apple's gateways knows the device, if that was found to be another one than the recipient says.
    pub environment: Option<ApnsEnvironment>,
    /// What it says of the host.
    pub sign: HostSign,
}

impl From<Outcome> for Attempt {
    fn from(outcome: Outcome) -> Self {
        Self {
            sign: HostSign::of(&outcome),
            outcome,
            environment: None,
        }
    }
}

/// A delivery that was given to the wrong channel: a mistake of ours that must cost neither a device nor the process.
fn wrong_platform() -> Outcome {
    Outcome::rejected("wrong_platform")
}

fn base_target(which: &'static str, text: &str) -> Result<http::Target, GatewayError> {
    let wrong = || GatewayError::Url {
        which,
        url: text.into(),
    };
    let url = Url::parse(text).map_err(|_| wrong())?;
    let plain = url.path() == "/"
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !plain {
        return Err(wrong());
    }
    http::Target::new(&url).ok_or_else(wrong)
}
