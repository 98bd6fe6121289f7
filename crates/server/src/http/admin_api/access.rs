//! Who may: an admin token in the Authorization header, and how far its scope goes.
//!
//! One extractor for each kind of call. A handler that has one need not ask again, and one that has none can do nothing, since
//! the functions that change something want the actor. The order is: is there a token (401), is it known (401), does it go so
//! far (403), is there such an instance (404); so nobody learns which instances there are from refusals.

use axum::extract::FromRequestParts;
use domain::instance::InstanceId;
use http::request::Parts;

use crate::admin::access::Access;
use crate::admin::actor::Actor;
use crate::admin::tokens;
use crate::http::Api;
use crate::http::auth::bearer;
use crate::http::error::ApiError;
use crate::http::extract::{Segments, instance_id};

/// Somebody with any admin token.
pub(crate) struct Anybody(pub(crate) Access);

/// Somebody who may look at the instance of the path, which exists.
pub(crate) struct MayRead {
    pub(crate) instance: InstanceId,
}

/// Somebody who may change what is in the instance of the path, which exists.
pub(crate) struct MayWrite {
    pub(crate) actor: Actor,
    pub(crate) instance: InstanceId,
}

/// The same, who may have to be asked whether they may do more.
pub(crate) struct Writer {
    pub(crate) access: Access,
    pub(crate) instance: InstanceId,
}

/// Somebody who may look at what belongs to no single instance.
pub(crate) struct MayReadAll;

/// Somebody who may do everything.
pub(crate) struct Full {
    pub(crate) actor: Actor,
}

impl FromRequestParts<Api> for Anybody {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        // Put there by whoever calls without a network in between; nothing from outside can.
        if let Some(access) = parts.extensions.get::<Access>() {
            return Ok(Self(access.clone()));
        }
        let token = bearer(&parts.headers).ok_or(ApiError::NoAdminToken)?;
        Ok(Self(tokens::recognise(api.admin(), token).await?))
    }
}

impl FromRequestParts<Api> for MayRead {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Anybody(access) = Anybody::from_request_parts(parts, api).await?;
        let instance = named(parts, api).await?;
        access.read(instance)?;
        exists(api, instance).await?;
        Ok(Self { instance })
    }
}

impl FromRequestParts<Api> for MayWrite {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Writer { access, instance } = Writer::from_request_parts(parts, api).await?;
        let actor = access.actor;
        Ok(Self { actor, instance })
    }
}

impl FromRequestParts<Api> for Writer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Anybody(access) = Anybody::from_request_parts(parts, api).await?;
        let instance = named(parts, api).await?;
        access.write(instance)?;
        exists(api, instance).await?;
        Ok(Self { access, instance })
    }
}

impl FromRequestParts<Api> for MayReadAll {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Anybody(access) = Anybody::from_request_parts(parts, api).await?;
        access.read_all()?;
        Ok(Self)
    }
}

impl FromRequestParts<Api> for Full {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Anybody(access) = Anybody::from_request_parts(parts, api).await?;
        access.full()?;
        let actor = access.actor;
        Ok(Self { actor })
    }
}

/// The instance that the path names.
async fn named(parts: &mut Parts, api: &Api) -> Result<InstanceId, ApiError> {
    let Segments(segments) =
        Segments::<Vec<(String, String)>>::from_request_parts(parts, api).await?;
    let named = segments.iter().find(|(name, _)| name == "instance");
    let (_, instance) = named.ok_or(ApiError::InstanceNotFound)?;
    instance_id(instance)
}

async fn exists(api: &Api, instance: InstanceId) -> Result<(), ApiError> {
    let found = api.store().instance(instance).await?;
    found.map(drop).ok_or(ApiError::InstanceNotFound)
}
