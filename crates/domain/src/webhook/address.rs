//! Where requests go. Whether they may is the outbound guard's business, which knows the operator's exceptions.

use std::fmt;

use url::Url;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The longest URL, in bytes.
pub const WEBHOOK_URL_LENGTH_MAX: usize = 2048;

/// Why a text is no URL of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookUrl {
    /// Not an absolute http or https URL, or too long.
    #[error("must be an https URL of at most {WEBHOOK_URL_LENGTH_MAX} bytes")]
    Form,
    /// A password before the host.
    #[error("must not have a user name or password; requests are signed instead")]
    UserInfo,
}

fn parse(text: &str) -> Result<Url, InvalidWebhookUrl> {
    let url = Url::parse(text).map_err(|_| InvalidWebhookUrl::Form)?;
    let fine = text.len() <= WEBHOOK_URL_LENGTH_MAX
        && matches!(url.scheme(), "https" | "http")
        && url.has_host();
    fine.then_some(url).ok_or(InvalidWebhookUrl::Form)
}

/// The URL of a webhook: http or https, without user info.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookUrl(String);

impl WebhookUrl {
    /// Checks a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidWebhookUrl> {
        let url = parse(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidWebhookUrl::UserInfo);
        }
        Ok(Self(text.into()))
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The URL that a publish brings along. A user name and password in it are sent as basic authentication, and are why it is
/// a secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct PublishWebhookUrl(Zeroizing<String>);

impl PublishWebhookUrl {
    /// Checks a URL.
    pub fn parse(text: &str) -> Result<Self, InvalidWebhookUrl> {
        parse(text)?;
        Ok(Self(Zeroizing::new(text.into())))
    }

    /// All of it, to be sealed.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The URL without what stands before the host, and that: user name and password, decoded.
    pub fn split(&self) -> (String, Option<(String, String)>) {
        let Ok(mut url) = Url::parse(&self.0) else {
            return (String::new(), None);
        };
        let named = !url.username().is_empty() || url.password().is_some();
        let user = named.then(|| {
            let decode = |text: &str| {
                let pairs = format!("x={}", text.replace('+', "%2B"));
                let decoded = url::form_urlencoded::parse(pairs.as_bytes()).next();
                decoded.map_or_else(String::new, |(_, value)| value.into_owned())
            };
            (decode(url.username()), decode(url.password().unwrap_or("")))
        });
        // A URL that has a host may be without user info.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        (url.into(), user)
    }
}

impl fmt::Debug for PublishWebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublishWebhookUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_a_plain_url() {
        assert!(WebhookUrl::parse("https://app.example/hooks?x=1").is_ok());
        assert!(WebhookUrl::parse("http://127.0.0.1:8080/").is_ok());
        let long = format!("https://a/{}", "x".repeat(WEBHOOK_URL_LENGTH_MAX));
        for text in [
            "",
            "app.example",
            "ftp://a/",
            "mailto:a@b",
            "file:///etc",
            &long,
        ] {
            assert_eq!(
                WebhookUrl::parse(text),
                Err(InvalidWebhookUrl::Form),
                "{text}"
            );
        }
        assert_eq!(
            WebhookUrl::parse("https://u:p@app.example/"),
            Err(InvalidWebhookUrl::UserInfo)
        );
    }

    #[test]
    fn a_publish_may_bring_user_name_and_password() {
        let url = PublishWebhookUrl::parse("https://us%40er:p%20+w@app.example/hook?a=b").unwrap();
        let (bare, user) = url.split();
        assert_eq!(bare, "https://app.example/hook?a=b");
        assert_eq!(user, Some(("us@er".into(), "p +w".into())));
        assert!(!format!("{url:?}").contains("app"));
        let plain = PublishWebhookUrl::parse("https://app.example/").unwrap();
        assert_eq!(plain.split(), ("https://app.example/".into(), None));
    }
}
