//! How scopes and outcomes stand in a database, whichever it is.

use domain::admin_token::{Reach, Right, Scope};

use crate::StoreError;
use crate::administration::AuditOutcome;

/// The instances of a scope, as JSON; `None` for all.
pub(crate) fn instances_of(scope: &Scope) -> Option<String> {
    match &scope.reach {
        Reach::All => None,
        Reach::Some(instances) => Some(serde_json::json!(instances).to_string()),
    }
}

/// The scope that was written down.
pub(crate) fn scope_of(instances: Option<&str>, may: &str) -> Result<Scope, StoreError> {
    let corrupt = || StoreError::Corrupt("the scope of an admin token".into());
    let reach = match instances {
        None => Reach::All,
        Some(json) => Reach::Some(serde_json::from_str(json).map_err(|_| corrupt())?),
    };
    let right = Right::parse(may).ok_or_else(corrupt)?;
    Ok(Scope { reach, right })
}

/// How an outcome is written: its word, and the reason.
pub(crate) fn words(outcome: &AuditOutcome) -> (&'static str, Option<&str>) {
    match outcome {
        AuditOutcome::Begun => ("begun", None),
        AuditOutcome::Done => ("done", None),
        AuditOutcome::Failed(reason) => ("failed", Some(reason)),
    }
}

/// The outcome that was written.
pub(crate) fn outcome_of(word: &str, reason: Option<String>) -> Result<AuditOutcome, StoreError> {
    match word {
        "begun" => Ok(AuditOutcome::Begun),
        "done" => Ok(AuditOutcome::Done),
        "failed" => Ok(AuditOutcome::Failed(reason.unwrap_or_default())),
        other => Err(StoreError::Corrupt(format!("the outcome {other:?}"))),
    }
}
