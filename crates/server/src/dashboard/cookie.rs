//! The three cookies: the session, the token of forms before sign-in, and the theme.
//!
//! None can be read by scripts or is sent along by other sites' forms. Over https they are `Secure` and have the `__Host-`
//! prefix (RFC 6265bis section 4.1.3.2), so that no neighbouring host can plant them.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Who is signed in.
pub(super) const SESSION: &str = "heliostat_session";
/// What forms carry before sign-in.
pub(super) const FORM: &str = "heliostat_form";
/// Light or dark.
pub(super) const THEME: &str = "heliostat_theme";

/// How long a chosen theme is kept.
pub(super) const THEME_KEPT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The cookies of a request.
pub(super) struct Cookies<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    secure: bool,
}

impl<'a> Cookies<'a> {
    /// Reads them; `secure` if this server is reached over https.
    pub(super) fn of(headers: &'a HeaderMap, secure: bool) -> Self {
        let pairs = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .collect();
        Self { pairs, secure }
    }

    /// The cookie of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let full = full_name(name, self.secure);
        let found = self.pairs.iter().find(|(known, _)| *known == full);
        found
            .map(|(_, value)| *value)
            .filter(|value| !value.is_empty())
    }
}

fn full_name(name: &str, secure: bool) -> String {
    if secure {
        format!("__Host-{name}")
    } else {
        name.to_owned()
    }
}

/// Sets a cookie, for as long as the browser runs if no life is given. `value` is base64url or a word of ours.
pub(super) fn set(
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    life: Option<Duration>,
    secure: bool,
) {
    let name = full_name(name, secure);
    let life = life.map_or_else(String::new, |life| format!("; Max-Age={}", life.as_secs()));
    let secure = if secure { "; Secure" } else { "" };
    let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{life}{secure}");
    if let Ok(line) = HeaderValue::from_str(&line) {
        headers.append(header::SET_COOKIE, line);
    }
}

/// Takes a cookie back.
pub(super) fn clear(headers: &mut HeaderMap, name: &str, secure: bool) {
    set(headers, name, "", Some(Duration::ZERO), secure);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(line: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(line))])
    }

    #[test]
    fn over_https_only_prefixed_cookies_count() {
        let headers = headers("heliostat_theme=dark; __Host-heliostat_theme=light; other=1");
        assert_eq!(Cookies::of(&headers, true).get(THEME), Some("light"));
        assert_eq!(Cookies::of(&headers, false).get(THEME), Some("dark"));
        assert_eq!(Cookies::of(&headers, false).get(SESSION), None);
    }

    #[test]
    fn cookies_are_hidden_from_scripts_and_other_sites() {
        let mut headers = HeaderMap::new();
        set(
            &mut headers,
            SESSION,
            "abc",
            Some(Duration::from_secs(60)),
            true,
        );
        assert_eq!(
            headers[header::SET_COOKIE],
            "__Host-heliostat_session=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure"
        );
    }
}
