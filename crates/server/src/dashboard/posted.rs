//! Changing something: a form of ours, from somebody who may write in the instance that the path names.

use axum::extract::{FromRequest, FromRequestParts as _, Request};

use super::error::PageError;
use super::form::Form;
use super::room::Room;
use crate::http::Api;

/// What a handler is given that changes anything. There is no other way to a form and the room that it is for.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) room: Room,
    pub(super) form: Form,
}

impl FromRequest<Api> for Posted {
    type Rejection = PageError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let room = Room::from_request_parts(&mut parts, api).await?;
        let form = Form::from_request(Request::from_parts(parts, body), api).await?;
        if !room.visitor().may_write() {
            return Err(PageError::ReadOnly);
        }
        Ok(Self { room, form })
    }
}
