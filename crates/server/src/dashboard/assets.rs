//! Styles, scripts and the mark: part of the program, and named after their content so that browsers may keep them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use super::error::PageError;

/// A file of ours.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const ASSETS: [Asset; 7] = [
    Asset {
        name: "heliostat.css",
        kind: CSS,
        text: include_str!("assets/heliostat.css"),
    },
    Asset {
        name: "heliostat.js",
        kind: JS,
        text: include_str!("assets/heliostat.js"),
    },
    Asset {
        name: "compose.js",
        kind: JS,
        text: include_str!("assets/compose.js"),
    },
    Asset {
        name: "console.js",
        kind: JS,
        text: include_str!("assets/console.js"),
    },
    Asset {
        name: "start.js",
        kind: JS,
        text: include_str!("assets/start.js"),
    },
    Asset {
        name: "try.js",
        kind: JS,
        text: include_str!("assets/try.js"),
    },
    Asset {
        name: "mark.svg",
        kind: SVG,
        text: include_str!("assets/mark.svg"),
    },
];

/// The service worker of `/try`, which must have a path of its own.
const WORKER: &str = include_str!("assets/worker.js");

impl Asset {
    fn version(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Where a file is. Changes with its content.
pub(super) fn url(name: &str) -> String {
    let version = ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map(Asset::version);
    format!("/assets/{}/{name}", version.unwrap_or_default())
}

/// `GET /assets/{version}/{name}`: any version leads to the file as it is now, but only its own may be kept.
pub(super) async fn show(
    Path((version, name)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let asset = ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .ok_or(PageError::NotFound("file"))?;
    let keep = if version == asset.version() {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    Ok(answer(asset.kind, keep, asset.text))
}

/// `GET /try-worker.js`: at the root, so that it may serve `/try`. Browsers look for a new one by themselves.
pub(super) async fn worker() -> Response {
    answer(JS, "no-cache", WORKER)
}

fn answer(kind: &'static str, keep: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    (headers, text).into_response()
}
