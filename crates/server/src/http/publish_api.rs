//! What server SDKs call to publish, and what anybody with a secret key calls to see and steer what was published.

pub(super) mod described;
pub(super) mod dry_run;
pub(super) mod failures;
mod idempotency;
mod interests;
mod lines;
pub(super) mod list;
pub(super) mod one;
mod replay;
mod users;
pub(super) mod view;

use axum::extract::{FromRequest as _, Request};
use axum::response::Response;
use delivery::instances::Instance;
use delivery::runner::Taken;
use domain::idempotency::{Fingerprint, Idempotency, IdempotencyKey};
use domain::instance::InstanceId;
use domain::publish::{AudienceKind, PUBLISH_BODY_LENGTH_MAX, PublishId, PublishRequest};
use http::{HeaderName, HeaderValue};
use utoipa_axum::routes;

use super::Api;
use super::error::ApiError;
use super::extract::{Bounded, PublishContent, Segments, json};
use super::json_depth;
use super::routes::Routes;

/// Says that a request was not done again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(super) fn routes() -> Routes {
    Routes::default()
        .with(routes!(interests::publish))
        .with(routes!(users::publish))
        // The first form of the API, which two official SDKs still use.
        .also_at(
            "/publish_api/v1/instances/{instance}/publishes",
            "publish_to_interests_v1",
            routes!(interests::publish),
        )
        .with(routes!(list::list))
        .with(routes!(one::show, one::cancel))
        .with(routes!(failures::list))
        .with(routes!(replay::replay))
        .proven_by("secret_key")
}

type Body = Bounded<PUBLISH_BODY_LENGTH_MAX>;

/// The publish that a path names behind its instance. What has not the form of an id is the id of no publish.
pub(super) fn publish_id(
    Segments((_, publish)): Segments<(String, String)>,
) -> Result<PublishId, ApiError> {
    PublishId::parse(&publish).ok_or(ApiError::PublishNotFound)
}

/// Admits what sends something: a publish, or one again.
pub(crate) fn admit(api: &Api, instance: InstanceId) -> Result<(), ApiError> {
    let admission = &api.shared.admission;
    let admitted = admission.publish(instance, api.now(), api.nodes());
    admitted.map_err(ApiError::TooOften)
}

/// Takes a publish in either form.
async fn take(
    api: &Api,
    instance: &Instance,
    kind: AudienceKind,
    content: PublishContent,
    key: Option<IdempotencyKey>,
    request: Request,
) -> Result<Response, ApiError> {
    admit(api, instance.id())?;
    match content {
        PublishContent::Lines => lines::accept(api, instance, kind, key, request.into_body()).await,
        PublishContent::Object => {
            let body = Body::from_request(request, api).await?;
            accept(api, instance, kind, key, &body.0).await
        }
    }
}

/// Answers exactly 200, which is the only status that all SDKs take for a success, and only once the publish is durable.
async fn accept(
    api: &Api,
    instance: &Instance,
    kind: AudienceKind,
    key: Option<IdempotencyKey>,
    body: &[u8],
) -> Result<Response, ApiError> {
    json_depth::check(body, api.shared.limits.json_depth_max)?;
    let request = PublishRequest::parse(kind, body)?;
    let idempotency = key.map(|key| Idempotency {
        key,
        fingerprint: Fingerprint::of(kind.as_str(), body),
    });
    if let Err(error) = request.check_times(api.now()) {
        // Time goes on between a request and its repetition, which is answered all the same.
        let before = match idempotency {
            Some(idempotency) if !request.dry_run => {
                let runner = &api.shared.runner;
                runner.repeated(instance.id(), idempotency).await?
            }
            _ => None,
        };
        return match before {
            Some(id) => answer(Taken::Repeated(id)),
            None => Err(ApiError::Publish(error)),
        };
    }
    if request.dry_run {
        return dry_run::count(api, instance.id(), request).await;
    }
    let taken = api
        .shared
        .runner
        .publish(instance, request, idempotency)
        .await?;
    if let Taken::New(id) = taken {
        tracing::info!(instance = %instance.id(), publish = %id, audience = kind.as_str(), "accepted {id}");
    }
    answer(taken)
}

fn answer(taken: Taken) -> Result<Response, ApiError> {
    let (id, repeated) = match taken {
        Taken::New(id) => (id, false),
        Taken::Repeated(id) => (id, true),
        Taken::KeyReused => return Err(ApiError::KeyReused),
    };
    let mut response = json(&view::Accepted {
        publish_id: id.to_string(),
    });
    if repeated {
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, replayed);
    }
    Ok(response)
}
