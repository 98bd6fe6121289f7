//! What is shown to whoever has an admin token.

use reqwest::Method;

use super::haystack::Where;
use super::run::{INSTANCE, Run, USER};
use crate::program::heliostat;

impl Run<'_> {
    /// What an admin token shows, over the API, on pages and on the command line.
    pub(crate) async fn look(&mut self) {
        for path in ["/metrics", "/healthz", "/readyz", "/sign-in", "/docs"] {
            let request = self.request(Method::GET, path);
            self.send(Where::Written, request).await;
        }
        let own = [
            "",
            "/credentials",
            "/secret-keys",
            "/devices",
            "/users",
            "/publishes",
            "/webhooks",
            "/audit-log",
            "/insights",
        ];
        let admin = format!("/admin_api/v1/instances/{INSTANCE}");
        let user = format!("{admin}/users/{USER}");
        let paths = own.map(|path| format!("{admin}{path}"));
        let all = [
            "/admin_api/v1/instances",
            "/admin_api/v1/admin-tokens",
            "/admin_api/v1/audit-log",
        ];
        let device = format!(
            "{admin}/devices/{}",
            self.device.rsplit('/').next().unwrap()
        );
        let all = all.map(str::to_owned).into_iter().chain(paths);
        for path in all.chain([user, device]) {
            let request = self
                .request(Method::GET, &path)
                .bearer_auth(&self.admin_token);
            let (status, body) = self.send(Where::Shown, request).await;
            assert_eq!(status, 200, "{path}: {body}");
        }
        let cookie = self.sign_in().await;
        for page in [
            "/",
            "/start",
            "/compose",
            "/publishes",
            "/insights",
            "/people",
            "/people?devices=all",
            "/console",
            "/settings",
        ] {
            let path = if page == "/" {
                page.to_owned()
            } else {
                format!("/i/{INSTANCE}{page}")
            };
            let request = self.request(Method::GET, &path).header("cookie", &cookie);
            let (status, body) = self.send(Where::Shown, request).await;
            assert_eq!(status, 200, "{path}: {body}");
        }
        self.ask();
    }

    /// What commands show.
    fn ask(&mut self) {
        for words in [
            &["instance", "list"][..],
            &["instance", "show", INSTANCE],
            &["webhook", "list", "--instance", INSTANCE],
            &["admin-token", "list"],
            &["audit-log"],
            &["master-key", "list"],
            &["master-key", "rotate"],
        ] {
            let done = heliostat(&self.env).args(words).output().unwrap();
            assert!(done.status.success(), "{words:?}");
            self.heap
                .add(Where::Shown, format!("heliostat {words:?}"), done.stdout);
            self.heap
                .add(Where::Written, format!("heliostat {words:?}"), done.stderr);
        }
    }

    /// The cookies of somebody who signed in, who alone is given them.
    async fn sign_in(&mut self) -> String {
        let link = format!("/sign-in?link={}", self.sign_in_code);
        let page = self.request(Method::GET, &link).send().await.unwrap();
        let form = cookies(&page);
        let page = page.text().await.unwrap();
        let (_, rest) = page.split_once("name=\"form_token\" value=\"").unwrap();
        let form_token = rest.split('"').next().unwrap();
        let body = format!("form_token={form_token}&token={}", self.admin_token);
        let signed_in = self
            .request(Method::POST, "/sign-in")
            .header("cookie", &form)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(signed_in.status(), 303);
        format!("{form}; {}", cookies(&signed_in))
    }
}

fn cookies(answer: &reqwest::Response) -> String {
    let set = answer.headers().get_all("set-cookie").iter();
    let pairs: Vec<_> = set
        .map(|line| line.to_str().unwrap().split(';').next().unwrap())
        .collect();
    pairs.join("; ")
}
