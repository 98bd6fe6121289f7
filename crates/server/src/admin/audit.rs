//! The audit log: who did what, to what, and how it ended.

use domain::instance::InstanceId;
use serde::Serialize;
use store::administration::{AuditEntry, AuditFilter, AuditId, AuditOutcome};
use utoipa::ToSchema;

use super::Admin;
use super::error::AdminError;

/// An entry of the audit log.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number, which grows.
    pub number: i64,
    /// When.
    #[schema(format = "date-time")]
    pub at: String,
    /// `command_line`, `token` or `session`.
    pub actor: String,
    /// The number of the admin token.
    pub token: Option<i64>,
    /// What the admin token was called then.
    pub token_name: Option<String>,
    /// What was done, as in `secret_key.revoke`.
    pub action: String,
    /// In which instance.
    pub instance: Option<String>,
    /// To what.
    pub subject: Option<String>,
    /// To which user; a pseudonym once the user was forgotten.
    pub user: Option<String>,
    /// `done`, `failed`, or `begun` while it goes on; it stays so if the server ended meanwhile, or its database did not take the end.
    pub outcome: &'static str,
    /// Why it failed.
    pub reason: Option<String>,
}

/// Some entries, the newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Where they go on; null at the end.
    pub next_cursor: Option<String>,
}

impl Entry {
    /// What is shown of an entry.
    pub fn of(entry: &AuditEntry) -> Self {
        let told = &entry.entry;
        let (outcome, reason) = match &entry.outcome {
            AuditOutcome::Begun => ("begun", None),
            AuditOutcome::Done => ("done", None),
            AuditOutcome::Failed(reason) => ("failed", Some(reason.clone())),
        };
        Self {
            number: entry.id.0,
            at: told.at.to_string(),
            actor: told.actor.clone(),
            token: told.token.map(|token| token.0),
            token_name: told.token_name.clone(),
            action: told.action.clone(),
            instance: told.instance.map(|id| id.to_string()),
            subject: told.subject.clone(),
            user: told.user.as_ref().map(|user| user.as_str().to_owned()),
            outcome,
            reason,
        }
    }
}

/// A page of the log: all of it, or what was done in one instance.
pub async fn page(
    admin: &Admin,
    instance: Option<InstanceId>,
    after: Option<AuditId>,
    limit: usize,
) -> Result<Page, AdminError> {
    let filter = AuditFilter {
        instance,
        user: None,
    };
    let found = admin.store.audit_page(filter, after, limit + 1).await?;
    let shown = &found[..found.len().min(limit)];
    let last = shown.last().filter(|_| found.len() > limit);
    Ok(Page {
        entries: shown.iter().map(Entry::of).collect(),
        next_cursor: last.map(|entry| entry.id.0.to_string()),
    })
}
