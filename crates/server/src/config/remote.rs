//! Where the commands that manage go, if not to the database.

use domain::admin_token::AdminToken;
use url::Url;

use super::ConfigError;
use super::raw::invalid;

/// A server that commands go to in place of the database.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// Its URL.
    pub server: Option<String>,
    /// An admin token of it.
    pub admin_token: Option<AdminToken>,
}

impl Remote {
    /// Checks both. The token is not shown if it is none.
    pub(super) fn check(server: Option<&str>, token: Option<&str>) -> Result<Self, ConfigError> {
        let is_fine = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if let Some(text) = server
            && !Url::parse(text).is_ok_and(|url| is_fine(&url))
        {
            let rule = "must be an http or https URL, such as https://push.example.com";
            return Err(invalid("server", rule));
        }
        let token = token
            .map(AdminToken::parse)
            .transpose()
            .map_err(|error| invalid("admin_token", error.to_string()))?;
        Ok(Self {
            server: server.map(str::to_owned),
            admin_token: token,
        })
    }
}
