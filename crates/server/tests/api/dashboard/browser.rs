//! A browser without scripts: it keeps cookies, reads pages, and sends forms.

use std::collections::BTreeMap;
use std::sync::Mutex;

use domain::admin_token::{AdminTokenName, Reach, Right, Scope};
use http::Method;
use server::admin::actor::Actor;
use server::admin::tokens;

use crate::support::{Instance, Reply, Server};

/// Every page of an instance, below `/i/{instance}`.
pub(super) const PAGES: [&str; 10] = [
    "",
    "/start",
    "/compose",
    "/publishes",
    "/insights",
    "/people",
    "/people?devices=all",
    "/console",
    "/webhooks",
    "/settings",
];

/// Makes an admin token.
pub(super) async fn admin_token(server: &Server, reach: Option<&Instance>, right: Right) -> String {
    let reach = reach.map_or(Reach::All, |one| Reach::Some([one.id].into()));
    let new = tokens::New {
        name: AdminTokenName::parse("somebody").unwrap(),
        scope: Scope { reach, right },
        expires_at: None,
    };
    let created = tokens::create(server.app.admin(), &Actor::CommandLine, new).await;
    created.unwrap().token.to_string()
}

pub(super) struct Browser<'a> {
    server: &'a Server,
    client: reqwest::Client,
    pub(super) cookies: Mutex<BTreeMap<String, String>>,
}

impl<'a> Browser<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            server,
            client,
            cookies: Mutex::default(),
        }
    }

    /// One that is signed in and may do everything.
    pub(super) async fn signed_in(server: &'a Server) -> Self {
        let token = admin_token(server, None, Right::Write).await;
        Self::with_token(server, &token).await
    }

    pub(super) async fn with_token(server: &'a Server, token: &str) -> Self {
        let browser = Self::new(server);
        let page = browser.get("/sign-in").await;
        let reply = browser.submit(&page, "/sign-in", &[("token", token)]).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        browser
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &[], String::new()).await
    }

    /// Fills in a form of a page and sends it, with the hidden token that the page has.
    pub(super) async fn submit(&self, page: &Reply, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = form_token(page);
        let mut all = vec![("form_token", token.as_str())];
        all.extend(fields);
        self.post(path, &all, &[]).await
    }

    pub(super) async fn post(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
        all.extend(headers);
        self.send(Method::POST, path, &all, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Reply {
        let request = self.request(method, path, headers).body(body);
        let reply = Reply::read(request.send().await.unwrap()).await;
        let mut cookies = self.cookies.lock().unwrap();
        for line in reply.headers.get_all("set-cookie") {
            let (pair, _) = line.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        reply
    }

    /// A request with the cookies, to be sent by whoever reads the answer piece by piece.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.server.app.local_addr());
        let cookies = self.cookies.lock().unwrap();
        let cookies: Vec<String> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let mut request = self.client.request(method, url);
        request = request.header("Cookie", cookies.join("; "));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }
}

/// The token that the forms of a page carry.
pub(super) fn form_token(page: &Reply) -> String {
    let (_, rest) = page
        .body
        .split_once("name=\"form_token\" value=\"")
        .unwrap_or_else(|| panic!("no form: {page:?}"));
    rest.split('"').next().unwrap().to_owned()
}
