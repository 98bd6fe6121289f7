//! Routes that cannot be there without being described: a call is both at once, or not at all.
//!
//! The router and the description are made of the same list, so neither has what the other lacks. Pages of the dashboard are
//! for people, and are not among it.

use axum::Router;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Deprecated, OpenApi, RefOr};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::Api;

/// Calls at one path, each with its description, as `routes!` makes them of handlers.
pub(super) type Calls = UtoipaMethodRouter<Api>;

/// A list of calls.
#[derive(Default)]
pub(super) struct Routes(OpenApiRouter<Api>);

impl Routes {
    /// These calls too, at the path that their descriptions have.
    pub(super) fn with(self, calls: Calls) -> Self {
        let (schemas, ..) = &calls;
        for (name, schema) in schemas {
            debug_assert!(self.says(name, schema), "two types are described as {name}");
        }
        Self(self.0.routes(calls))
    }

    /// Whether a name stands for this schema, or for nothing yet.
    fn says(&self, name: &str, schema: &RefOr<Schema>) -> bool {
        let components = self.0.get_openapi().components.as_ref();
        let said = components.and_then(|components| components.schemas.get(name));
        said.is_none_or(|said| said == schema)
    }

    /// A call at a second path, which older SDKs know: described as deprecated, under an id of its own.
    pub(super) fn also_at(self, path: &str, id: &str, calls: Calls) -> Self {
        let (schemas, mut paths, handler) = calls;
        let items = std::mem::take(&mut paths.paths);
        for mut item in items.into_values() {
            for call in calls_of(&mut item) {
                call.operation_id = Some(id.to_owned());
                call.deprecated = Some(Deprecated::True);
            }
            paths.paths.insert(path.to_owned(), item);
        }
        Self(self.0.routes((schemas, paths, handler)))
    }

    /// All of another list too.
    pub(super) fn and(self, other: Self) -> Self {
        let components = other.0.get_openapi().components.iter();
        for (name, schema) in components.flat_map(|components| &components.schemas) {
            debug_assert!(self.says(name, schema), "two types are described as {name}");
        }
        Self(self.0.merge(other.0))
    }

    /// Says of all calls that do not say so themselves how their caller proves itself: by a security scheme of this name.
    pub(super) fn proven_by(mut self, scheme: &str) -> Self {
        for item in self.0.get_openapi_mut().paths.paths.values_mut() {
            for call in calls_of(item) {
                let said = call.security.take();
                call.security = said.or_else(|| {
                    let nothing: [&str; 0] = [];
                    Some(vec![SecurityRequirement::new(scheme, nothing)])
                });
            }
        }
        self
    }

    /// What answers the calls.
    pub(super) fn into_router(self) -> Router<Api> {
        self.0.into()
    }

    /// What describes them. A name that stands for all that is left of a path is one like any other there.
    pub(super) fn into_description(self) -> OpenApi {
        let mut description = self.0.into_openapi();
        let paths = std::mem::take(&mut description.paths.paths);
        description.paths.paths = paths
            .into_iter()
            .map(|(path, item)| (path.replace("{*", "{"), item))
            .collect();
        description
    }
}

/// All calls at a path.
pub(super) fn calls_of(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let calls = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.options,
        &mut item.head,
        &mut item.patch,
        &mut item.trace,
    ];
    calls.into_iter().flatten()
}
