//! What is done with users and devices.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::device::DeviceId;
use domain::publish::{AudienceKind, PublishRequest};
use domain::user::UserId;
use serde_json::json;

use crate::admin::{devices, publishes, users};
use crate::dashboard::components::with_query;
use crate::dashboard::error::PageError;
use crate::dashboard::form::Form;
use crate::dashboard::instances::sentence;
use crate::dashboard::posted::Posted;
use crate::http::{Api, admit_publish};

fn user(form: &Form) -> Result<UserId, PageError> {
    UserId::parse(form.raw("user").unwrap_or_default()).map_err(|_| PageError::NotFound("user"))
}

fn device(form: &Form) -> Result<DeviceId, PageError> {
    let id = form.get("device").and_then(DeviceId::parse);
    id.ok_or(PageError::NotFound("device"))
}

/// `POST …/people/delete-device`: and on to its user, if it had one.
pub(in crate::dashboard) async fn delete_device(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let id = device(&form)?;
    let user = api
        .store()
        .device(room.id(), id)
        .await?
        .and_then(|device| device.user);
    devices::delete(api.admin(), room.actor(), room.id(), id).await?;
    let people = room.path("people");
    let next = match &user {
        Some(user) => with_query(
            &people,
            &[("user", user.as_str()), ("done", "device-deleted")],
        ),
        None => people,
    };
    Ok(Redirect::to(&next).into_response())
}

/// `POST …/people/unbind-device`: and on to the device, which stays, or back to the user whose it was (`back=user`).
pub(in crate::dashboard) async fn unbind_device(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let id = device(&form)?;
    let user = devices::unbind(api.admin(), room.actor(), room.id(), id).await?;
    let people = room.path("people");
    let next = match user.filter(|_| form.get("back") == Some("user")) {
        Some(user) => with_query(&people, &[("user", user.as_str()), ("done", "unbound")]),
        None => with_query(&people, &[("device", &id.to_string()), ("done", "unbound")]),
    };
    Ok(Redirect::to(&next).into_response())
}

/// `POST …/people/delete-user`
pub(in crate::dashboard) async fn delete_user(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    users::delete(api.admin(), room.actor(), room.id(), user(&form)?).await?;
    Ok(Redirect::to(&room.path("people")).into_response())
}

/// `POST …/people/test-device`: a notification to one device, and what its gateway said.
pub(in crate::dashboard) async fn test_device(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let id = device(&form)?;
    let tested = devices::test(api.admin(), room.actor(), room.id(), id, None).await?;
    let said = super::device::said(&tested);
    super::device::page(&api, &room, id, Some(said)).await
}

/// `POST …/people/test`: a notification to all devices of a user.
pub(in crate::dashboard) async fn test(
    State(api): State<Api>,
    Posted { room, form }: Posted,
) -> Result<Response, PageError> {
    let note = json!({"title": "Hello from Heliostat", "body": "The beam is on its target."});
    let body = json!({
        "users": [user(&form)?.as_str()],
        "apns": {"aps": {"alert": note}},
        "fcm": {"notification": note},
        "web": {"notification": note},
    });
    let request = PublishRequest::parse(AudienceKind::Users, body.to_string().as_bytes())
        .map_err(|error| PageError::Input(sentence(&error)))?;
    admit_publish(&api, room.id())?;
    let id = publishes::publish(api.admin(), room.actor(), room.id(), request).await?;
    Ok(Redirect::to(&room.path(&format!("publishes/{id}?done=sent"))).into_response())
}
