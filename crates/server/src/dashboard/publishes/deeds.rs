//! Cancelling a publish, and publishing again.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::publish::PublishId;

use crate::admin::publishes;
use crate::dashboard::error::PageError;
use crate::dashboard::posted::Posted;
use crate::http::extract::Segments;
use crate::http::{Api, admit_publish};

/// `POST …/publishes/{publish}/cancel`
pub(in crate::dashboard) async fn cancel(
    State(api): State<Api>,
    Segments((_, id)): Segments<(String, String)>,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    let id = PublishId::parse(&id).ok_or(PageError::NotFound("publish"))?;
    publishes::cancel(api.admin(), room.actor(), room.id(), id).await?;
    Ok(Redirect::to(&room.path(&format!("publishes/{id}?done=cancelled"))).into_response())
}

/// `POST …/publishes/{publish}/replay`
pub(in crate::dashboard) async fn replay(
    State(api): State<Api>,
    Segments((_, id)): Segments<(String, String)>,
    Posted { room, .. }: Posted,
) -> Result<Response, PageError> {
    let id = PublishId::parse(&id).ok_or(PageError::NotFound("publish"))?;
    admit_publish(&api, room.id())?;
    let fresh = publishes::replay(api.admin(), room.actor(), room.id(), id).await?;
    Ok(Redirect::to(&room.path(&format!("publishes/{fresh}?done=replayed"))).into_response())
}
