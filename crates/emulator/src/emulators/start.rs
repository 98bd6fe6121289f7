//! Starting: bind, find or make the keys, write the files, set the tasks going.
//!
//! Invariant: nothing is served before all of it has worked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::clock::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Addresses, Config, Emulators};
use crate::Error;
use crate::apns::{Apns, ProviderTokens};
use crate::behaviour::Gateway;
use crate::browser::{self, Agents};
use crate::control::Control;
use crate::fcm::{AccessTokens, Fcm};
use crate::http::{Listener, Protocols, Service};
use crate::keys::{Authority, Directory, ProviderKey, ServiceAccount, env_file};
use crate::settings::{Settings, Shared};
use crate::web_push::{Registry, WebPush};

struct Listeners {
    apns: Listener,
    apns_sandbox: Listener,
    fcm: Listener,
    web_push: Listener,
    browser: Listener,
    control: Listener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            apns: Listener::bind("APNs", config.apns).await?,
            apns_sandbox: Listener::bind("the APNs sandbox", config.apns_sandbox).await?,
            fcm: Listener::bind("FCM", config.fcm).await?,
            web_push: Listener::bind("Web Push", config.web_push).await?,
            browser: Listener::bind("the WebSocket for browsers", config.browser).await?,
            control: Listener::bind("the control API", config.control).await?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            apns: self.apns.address(),
            apns_sandbox: self.apns_sandbox.address(),
            fcm: self.fcm.address(),
            web_push: self.web_push.address(),
            browser: self.browser.address(),
            control: self.control.address(),
        }
    }
}

struct Keys {
    tls: rustls::ServerConfig,
    provider: ProviderKey,
    account: ServiceAccount,
}

/// How a client on this machine reaches a listener.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

pub(super) fn https(address: SocketAddr) -> String {
    format!("https://{}", reachable(address))
}

/// The names that the Web Push listener goes by, the one in endpoints first.
fn origins(address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let mut origins = vec![https(address)];
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        origins.push(format!("https://{name}:{port}"));
    }
    origins
}

/// Starts all emulators.
///
/// # Errors
/// A listener that cannot bind, an output directory that cannot be written, or a key in it that cannot be used.
pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Emulators, Error> {
    let listeners = Listeners::bind(&config).await?;
    let addresses = listeners.addresses();
    // An RSA key takes a while to make.
    let (directory, keys) =
        tokio::task::spawn_blocking(move || open_keys(&config.out, addresses.fcm))
            .await
            .map_err(|_| Error::Crypto)??;
    let shared = Arc::new(Shared::new(clock));
    let registry = Arc::new(Registry::new(origins(addresses.web_push)));
    let agents = Arc::new(Agents::new(Arc::clone(&registry)));
    let access = Arc::new(AccessTokens::new(keys.account));
    let tokens = Arc::new(ProviderTokens::new(keys.provider));
    let env = environment(addresses, &directory, &tokens);
    directory.write_public("env.sh", &env_file(&env))?;
    let emulators = Emulators {
        shared,
        registry,
        access,
        addresses,
        ca: Authority::path(&directory),
        apns_key: ProviderKey::path(&directory),
        service_account: ServiceAccount::path(&directory),
        env,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    serve(&emulators, listeners, &keys.tls, &tokens, &agents);
    Ok(emulators)
}

fn open_keys(out: &Path, fcm: SocketAddr) -> Result<(Directory, Keys), Error> {
    let directory = Directory::open(out)?;
    let tls = Authority::open(&directory)?.server_config()?;
    let provider = ProviderKey::open(&directory)?;
    let account = ServiceAccount::open(&directory, format!("{}/token", https(fcm)))?;
    Ok((
        directory,
        Keys {
            tls,
            provider,
            account,
        },
    ))
}

fn environment(
    addresses: Addresses,
    directory: &Directory,
    tokens: &ProviderTokens,
) -> Vec<(&'static str, String)> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    vec![
        ("HELIOSTAT_APNS_URL", https(addresses.apns)),
        ("HELIOSTAT_APNS_SANDBOX_URL", https(addresses.apns_sandbox)),
        ("HELIOSTAT_FCM_URL", https(addresses.fcm)),
        (
            "HELIOSTAT_OUTBOUND_CA_FILE",
            text(Authority::path(directory)),
        ),
        ("HELIOSTAT_OUTBOUND_ALLOW", "127.0.0.0/8,::1/128".to_owned()),
        // A push service refuses a sender whom it could not write to, and so does the emulated one.
        (
            "HELIOSTAT_WEB_PUSH_CONTACT",
            "mailto:developer@example.com".to_owned(),
        ),
        ("APNS_KEY_ID", tokens.key_id().to_owned()),
        ("APNS_TEAM_ID", tokens.team_id().to_owned()),
        ("EMULATOR_APNS_KEY_FILE", text(ProviderKey::path(directory))),
        (
            "EMULATOR_SERVICE_ACCOUNT_FILE",
            text(ServiceAccount::path(directory)),
        ),
        ("EMULATOR_WEB_PUSH_URL", https(addresses.web_push)),
        (
            "EMULATOR_BROWSER_URL",
            format!("ws://{}/", reachable(addresses.browser)),
        ),
        (
            "EMULATOR_CONTROL_URL",
            format!("http://{}", reachable(addresses.control)),
        ),
    ]
}

/// What each listener needs besides its service.
struct Ground<'a> {
    tls: &'a rustls::ServerConfig,
    tasks: &'a TaskTracker,
    stop: &'a CancellationToken,
}

impl Ground<'_> {
    fn serve<S: Service>(
        &self,
        listener: Listener,
        protocols: Protocols,
        service: S,
        settings: &Arc<Settings>,
    ) {
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        let (service, settings) = (Arc::new(service), Arc::clone(settings));
        let served = listener.serve(self.tls.clone(), protocols, service, settings, tasks, stop);
        self.tasks.spawn(served);
    }
}

fn serve(
    emulators: &Emulators,
    listeners: Listeners,
    tls: &rustls::ServerConfig,
    tokens: &Arc<ProviderTokens>,
    agents: &Arc<Agents>,
) {
    let ground = Ground {
        tls,
        tasks: &emulators.tasks,
        stop: &emulators.stop,
    };
    let shared = &emulators.shared;
    let settings = |gateway| shared.settings(gateway);
    for (gateway, listener) in [
        (Gateway::Apns, listeners.apns),
        (Gateway::ApnsSandbox, listeners.apns_sandbox),
    ] {
        let service = Apns::new(gateway, Arc::clone(shared), Arc::clone(tokens));
        ground.serve(listener, Protocols::Http2Only, service, settings(gateway));
    }
    let both = Protocols::Http2AndHttp1;
    let fcm = Fcm::new(Arc::clone(shared), Arc::clone(&emulators.access));
    ground.serve(listeners.fcm, both, fcm, settings(Gateway::Fcm));
    let registry = &emulators.registry;
    let web_push = WebPush::new(Arc::clone(shared), Arc::clone(registry), Arc::clone(agents));
    ground.serve(
        listeners.web_push,
        both,
        web_push,
        settings(Gateway::WebPush),
    );
    let access = Arc::clone(&emulators.access);
    let control = Control::new(
        Arc::clone(shared),
        Arc::clone(registry),
        Arc::clone(agents),
        access,
    );
    let plain = control.own_settings();
    ground.serve(listeners.control, Protocols::PlainHttp1, control, &plain);
    let (agents, clock) = (Arc::clone(agents), Arc::clone(&shared.clock));
    let (tasks, stop) = (emulators.tasks.clone(), emulators.stop.clone());
    let ends = stop.clone();
    emulators
        .tasks
        .spawn(listeners.browser.accept_each(tasks, stop, move |stream| {
            browser::serve(
                stream,
                Arc::clone(&agents),
                Arc::clone(&clock),
                ends.clone(),
            )
        }));
}
