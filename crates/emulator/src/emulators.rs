//! All emulators together: binding, keys, tasks, and the handle that tests and commands hold.
//!
//! Invariant: when [`start()`] returns, every listener is bound and every file is written; when [`Emulators::stop`]
//! returns, no task of theirs runs any more.

mod start;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::behaviour::{Behaviour, Gateway, Plan};
use crate::fcm::AccessTokens;
use crate::http::LINGER_SECONDS_MAX;
use crate::journal::{Notification, Totals, Verdict};
use crate::settings::{Change, Shared};
use crate::web_push::{PushSubscription, Registry};
pub use start::start;
use start::{https, reachable};

/// Where to listen and where to put the files. Port 0 takes a free port.
#[derive(Debug, Clone)]
pub struct Config {
    /// Apple's production service.
    pub apns: SocketAddr,
    /// Apple's sandbox.
    pub apns_sandbox: SocketAddr,
    /// FCM and Google's token endpoint.
    pub fcm: SocketAddr,
    /// The push endpoints.
    pub web_push: SocketAddr,
    /// The WebSocket for browsers, without TLS: keep it on loopback.
    pub browser: SocketAddr,
    /// The control API, without TLS or credentials: keep it on loopback.
    pub control: SocketAddr,
    /// The directory for the CA, the keys and `env.sh`. Made if it is not there.
    pub out: PathBuf,
}

impl Config {
    /// Free ports on 127.0.0.1.
    pub fn local(out: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            apns: any,
            apns_sandbox: any,
            fcm: any,
            web_push: any,
            browser: any,
            control: any,
            out: out.into(),
        }
    }
}

/// Running emulators. They also end when this is dropped, but then nobody waits for them.
pub struct Emulators {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    access: Arc<AccessTokens>,
    addresses: Addresses,
    ca: PathBuf,
    apns_key: PathBuf,
    service_account: PathBuf,
    env: Vec<(&'static str, String)>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Addresses {
    apns: SocketAddr,
    apns_sandbox: SocketAddr,
    fcm: SocketAddr,
    web_push: SocketAddr,
    browser: SocketAddr,
    control: SocketAddr,
}

impl Emulators {
    /// Where a gateway listens. The token endpoint is on FCM's listener.
    pub fn address(&self, gateway: Gateway) -> SocketAddr {
        match gateway {
            Gateway::Apns => self.addresses.apns,
            Gateway::ApnsSandbox => self.addresses.apns_sandbox,
            Gateway::Fcm | Gateway::FcmToken => self.addresses.fcm,
            Gateway::WebPush => self.addresses.web_push,
        }
    }

    /// The base URL of a gateway, without a slash at its end.
    pub fn url(&self, gateway: Gateway) -> String {
        https(self.address(gateway))
    }

    /// The URL for a browser's `dom.push.serverURL`.
    pub fn browser_url(&self) -> String {
        format!("ws://{}/", reachable(self.addresses.browser))
    }

    /// The base URL of the control API, without a slash at its end.
    pub fn control_url(&self) -> String {
        format!("http://{}", reachable(self.addresses.control))
    }

    /// The CA's certificate, PEM.
    pub fn ca_file(&self) -> &Path {
        &self.ca
    }

    /// The `.p8` file as Apple hands it out.
    pub fn apns_key_file(&self) -> &Path {
        &self.apns_key
    }

    /// The service account's file as Google hands it out.
    pub fn service_account_file(&self) -> &Path {
        &self.service_account
    }

    /// The variables of `env.sh`.
    pub fn env(&self) -> &[(&'static str, String)] {
        &self.env
    }

    /// The value of one variable of `env.sh`.
    pub fn env_value(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Everything that arrives from now on. A reader that falls [`crate::STREAM_MAX`] behind loses the oldest and is
    /// told so; the stream ends when the emulators stop.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Notification>> {
        self.shared.journal.subscribe()
    }

    /// The latest notifications, at most [`crate::RECENT_MAX`], oldest first.
    pub fn recent(&self) -> Vec<Arc<Notification>> {
        self.shared.journal.recent()
    }

    /// The counts of a gateway.
    pub fn totals(&self, gateway: Gateway) -> Totals {
        self.shared.journal.totals(gateway)
    }

    /// One count of a gateway.
    pub fn total(&self, gateway: Gateway, verdict: Verdict) -> u64 {
        self.shared.journal.total(gateway, verdict)
    }

    /// How many notifications a gateway accepted for one token (for Web Push: the subscription's id).
    pub fn accepted_for(&self, gateway: Gateway, token: &str) -> u32 {
        self.shared.journal.accepted_for(gateway, token)
    }

    /// Forgets the latest notifications and all counts; behaviours and settings stay.
    pub fn reset_counts(&self) {
        self.shared.journal.reset();
    }

    /// Sets what a gateway does with a token, or with `None` with all tokens that have no plan of their own. For Web
    /// Push the token is the subscription's endpoint or its id.
    ///
    /// # Errors
    /// [`Error::Request`] for a number out of range or too many plans.
    pub fn set_behaviour(
        &self,
        gateway: Gateway,
        token: Option<&str>,
        plan: impl Into<Plan>,
    ) -> Result<(), Error> {
        self.shared.book.set(
            gateway,
            token.map(|token| plan_key(gateway, token)),
            plan.into(),
        )
    }

    /// Like [`Emulators::set_behaviour`], for the next `times` notifications only; after them all is well again.
    ///
    /// # Errors
    /// As there; also if `times` is zero.
    pub fn set_behaviour_times(
        &self,
        gateway: Gateway,
        token: Option<&str>,
        behaviour: Behaviour,
        times: u32,
    ) -> Result<(), Error> {
        let times = std::num::NonZeroU32::new(times)
            .ok_or_else(|| Error::Request("times must not be 0".to_owned()))?;
        self.set_behaviour(
            gateway,
            token,
            Plan {
                behaviour,
                times: Some(times),
            },
        )
    }

    /// Forgets the plan of a token, or with `None` the gateway's default.
    pub fn clear_behaviour(&self, gateway: Gateway, token: Option<&str>) {
        self.shared
            .book
            .clear(gateway, token.map(|token| plan_key(gateway, token)));
    }

    /// Forgets all plans.
    pub fn clear_behaviours(&self) {
        self.shared.book.clear_all();
    }

    /// Changes a gateway's settings. Open connections follow.
    ///
    /// # Errors
    /// [`Error::Request`] for a number out of range.
    pub fn change(&self, gateway: Gateway, change: Change) -> Result<(), Error> {
        self.shared.settings(gateway).apply(change)
    }

    /// Makes a Web Push subscription whose keys the emulator holds, so that it can show what arrives in clear.
    /// `application_server_key` is the sender's VAPID public key in base64url; with it, only that sender is taken.
    ///
    /// # Errors
    /// [`Error::Request`] for a bad key or too many subscriptions.
    pub fn create_subscription(
        &self,
        application_server_key: Option<&str>,
    ) -> Result<PushSubscription, Error> {
        self.registry.create(application_server_key)
    }

    /// Ends a subscription: its endpoint answers 410. `endpoint` may be the id alone. `false` if there is none.
    pub fn remove_subscription(&self, endpoint: &str) -> bool {
        self.registry.remove(plan_key(Gateway::WebPush, endpoint))
    }

    /// Makes all of FCM's access tokens invalid: senders get 401 until they fetch a new one.
    pub fn revoke_access_tokens(&self) {
        self.access.revoke_all();
    }

    /// Stops: no more connections, open ones get GOAWAY and a moment to finish. May be called again.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        let most = Duration::from_secs(LINGER_SECONDS_MAX + 3);
        if tokio::time::timeout(most, self.tasks.wait()).await.is_err() {
            tracing::warn!("the emulators did not stop in time");
        }
        self.shared.journal.close();
    }
}

/// What a plan is filed under: a Web Push endpoint by its last segment.
pub(crate) fn plan_key(gateway: Gateway, token: &str) -> &str {
    match gateway {
        Gateway::WebPush => token.rsplit('/').next().unwrap_or(token),
        _ => token,
    }
}

impl Drop for Emulators {
    fn drop(&mut self) {
        self.stop.cancel();
        self.shared.journal.close();
    }
}

impl std::fmt::Debug for Emulators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emulators")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
