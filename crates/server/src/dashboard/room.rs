//! Where a visitor is: signed in, and in an instance that their admin token reaches.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use delivery::instances::Instance;
use domain::instance::InstanceId;
use http::request::Parts;

use super::access::Visitor;
use super::context::Context;
use super::error::PageError;
use crate::admin::actor::Actor;
use crate::http::Api;
use crate::http::extract::Segments;

/// Somebody signed in, anywhere.
#[derive(Debug, Clone)]
pub(super) struct Hall {
    context: Context,
    visitor: Visitor,
}

impl Hall {
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn visitor(&self) -> &Visitor {
        &self.visitor
    }
}

impl FromRequestParts<Api> for Hall {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, PageError> {
        let context = Context::from_request_parts(parts, api).await?;
        match context.visitor().cloned() {
            Some(visitor) => Ok(Self { context, visitor }),
            None => Err(PageError::SignIn(context.here().to_owned())),
        }
    }
}

/// Somebody signed in, in the instance that the path names. An instance out of reach is as good as none.
#[derive(Debug, Clone)]
pub(super) struct Room {
    hall: Hall,
    instance: Arc<Instance>,
}

impl Room {
    pub(super) fn context(&self) -> &Context {
        &self.hall.context
    }

    pub(super) fn visitor(&self) -> &Visitor {
        &self.hall.visitor
    }

    pub(super) fn actor(&self) -> &Actor {
        self.hall.visitor.actor()
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.instance
    }

    pub(super) fn id(&self) -> InstanceId {
        self.instance.id()
    }

    /// The path of the instance's pages, without a slash at the end.
    pub(super) fn base(&self) -> String {
        format!("/i/{}", self.instance.id())
    }

    /// The path of one of them.
    pub(super) fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.base())
    }
}

/// What the path has in the place of a name.
pub(super) async fn named(
    parts: &mut Parts,
    api: &Api,
    name: &str,
) -> Result<Option<String>, PageError> {
    let Segments(segments) =
        Segments::<Vec<(String, String)>>::from_request_parts(parts, api).await?;
    let mut segments = segments.into_iter();
    let found = segments.find(|(known, _)| known == name);
    Ok(found.map(|(_, value)| value))
}

impl FromRequestParts<Api> for Room {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, PageError> {
        let hall = Hall::from_request_parts(parts, api).await?;
        let id = named(parts, api, "instance").await?;
        let id = id
            .and_then(|id| InstanceId::parse(&id).ok())
            .filter(|id| hall.visitor.reaches(*id))
            .ok_or(PageError::NotFound("instance"))?;
        Self::enter(hall, api, id).await
    }
}

impl Room {
    /// Goes into an instance that is named otherwise than by the path.
    pub(super) async fn enter(hall: Hall, api: &Api, id: InstanceId) -> Result<Self, PageError> {
        if !hall.visitor.reaches(id) {
            return Err(PageError::NotFound("instance"));
        }
        let instance = api.instance(id).await?;
        Ok(Self { hall, instance })
    }
}
