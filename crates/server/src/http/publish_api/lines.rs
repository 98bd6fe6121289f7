//! A publish as lines of JSON, `application/x-ndjson`: for more users or interests than one object may name, and for users with
//! values of their own.
//!
//! Lines are checked as they come and told to the store in pieces, so that a request holds little memory however many there are.
//! Nothing is a publish before the last line is there: what goes wrong on the way, the caller's going away included, leaves at
//! most a list that is nobody's and is forgotten.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::response::Response;
use delivery::instances::Instance;
use delivery::runner::Taken;
use domain::device::Platform;
use domain::idempotency::{Fingerprinting, Idempotency, IdempotencyKey};
use domain::publish::{
    Audience, AudienceKind, InvalidPublish, Line, PUBLISH_BODY_LENGTH_MAX, PublishLines,
    PublishRequest, UserList,
};
use store::lists::Listed;
use store::lookup::AudienceCount;

use super::{answer, dry_run};
use crate::http::Api;
use crate::http::error::ApiError;
use crate::http::json_depth;
use crate::http::lines::BodyLines;

/// The longest line but the first, in bytes: the longest user id and values, written with escapes.
const LINE_LENGTH_MAX: usize = 32 * 1024;
/// How many users are told to the store at once.
const PIECE: usize = 2000;

/// Takes a publish in lines.
pub(super) async fn accept(
    api: &Api,
    instance: &Instance,
    kind: AudienceKind,
    key: Option<IdempotencyKey>,
    body: Body,
) -> Result<Response, ApiError> {
    let fingerprint = Fingerprinting::begin(kind.as_str());
    let mut lines = BodyLines::new(body, api.shared.limits.lists.bytes_max, fingerprint);
    match read(api, instance, kind, key.is_some(), &mut lines).await {
        Ok((request, read)) => {
            let key = key.map(|key| (key, lines));
            finish(api, instance, request, read, key).await
        }
        Err(error) => {
            lines.drain().await;
            Err(error)
        }
    }
}

/// Everything behind the first line.
enum Read {
    Interests(BTreeSet<domain::interest::InterestName>),
    Users(Users),
}

async fn read(
    api: &Api,
    instance: &Instance,
    kind: AudienceKind,
    has_key: bool,
    lines: &mut BodyLines,
) -> Result<(PublishLines, Read), ApiError> {
    let first = lines.next(PUBLISH_BODY_LENGTH_MAX).await?;
    let first = first.unwrap_or_default();
    json_depth::check(&first, api.shared.limits.json_depth_max)?;
    let request = PublishLines::parse(kind, &first)?;
    if request.request().dry_run || !has_key {
        request.request().check_times(api.now())?;
    }
    let read = match kind {
        AudienceKind::Interests => Read::Interests(interests(api, &request, lines).await?),
        AudienceKind::Users => {
            let mut users = Users::begin(api, instance, &request).await?;
            match users.read(api, instance, &request, lines).await {
                Ok(()) => Read::Users(users),
                Err(error) => {
                    users.discard(api).await;
                    return Err(error);
                }
            }
        }
    };
    Ok((request, read))
}

async fn interests(
    api: &Api,
    request: &PublishLines,
    lines: &mut BodyLines,
) -> Result<BTreeSet<domain::interest::InterestName>, ApiError> {
    let max = api.shared.limits.lists.interests_max;
    let mut names = BTreeSet::new();
    while let Some(line) = lines.next(LINE_LENGTH_MAX).await? {
        if let Line::Interest(name) = parse(api, request, &line, lines.number())? {
            names.insert(name);
        }
        if names.len() > max {
            let why = format!("a publish in lines has at most {max} interests here");
            return Err(ApiError::line(lines.number(), why));
        }
    }
    if names.is_empty() {
        return Err(ApiError::line(2, "interests are required"));
    }
    Ok(names)
}

fn parse(api: &Api, request: &PublishLines, line: &[u8], number: u64) -> Result<Line, ApiError> {
    json_depth::check(line, api.shared.limits.json_depth_max)?;
    request
        .line(line)
        .map_err(|error| ApiError::line(number, error.to_string()))
}

/// Users on their way into a list.
struct Users {
    list: i64,
    length: u64,
    pending: Vec<Listed>,
    /// The lines of those.
    numbers: Vec<u64>,
    /// Of a publish that is only to be counted: what was counted so far.
    counted: Option<(Vec<Platform>, AudienceCount)>,
}

impl Users {
    async fn begin(
        api: &Api,
        instance: &Instance,
        request: &PublishLines,
    ) -> Result<Self, ApiError> {
        let list = api.store().begin_list(instance.id(), api.now()).await?;
        let request = request.request();
        let counted = request.dry_run.then(|| {
            let platforms = request.payloads.platforms().collect();
            (platforms, AudienceCount::default())
        });
        Ok(Self {
            list,
            length: 0,
            pending: Vec::with_capacity(PIECE),
            numbers: Vec::with_capacity(PIECE),
            counted,
        })
    }

    async fn read(
        &mut self,
        api: &Api,
        instance: &Instance,
        request: &PublishLines,
        lines: &mut BodyLines,
    ) -> Result<(), ApiError> {
        let max = api.shared.limits.lists.users_max;
        while let Some(line) = lines.next(LINE_LENGTH_MAX).await? {
            let number = lines.number();
            let Line::User(user, values) = parse(api, request, &line, number)? else {
                continue;
            };
            self.pending.push(Listed { user, values });
            self.numbers.push(number);
            if self.length + self.pending.len() as u64 > max {
                let why = format!("a publish in lines has at most {max} users here");
                return Err(ApiError::line(number, why));
            }
            if self.pending.len() == PIECE {
                self.flush(api, instance).await?;
            }
        }
        self.flush(api, instance).await?;
        if self.length == 0 {
            return Err(ApiError::line(2, "users are required"));
        }
        Ok(())
    }

    async fn flush(&mut self, api: &Api, instance: &Instance) -> Result<(), ApiError> {
        let users = std::mem::replace(&mut self.pending, Vec::with_capacity(PIECE));
        let length = users.len() as u64;
        if length == 0 {
            return Ok(());
        }
        if let Some((platforms, total)) = &mut self.counted {
            let names = users.iter().map(|listed| listed.user.clone()).collect();
            let counted = api
                .store()
                .count_audience(instance.id(), Audience::Users(names), platforms.clone())
                .await?;
            for platform in platforms {
                total.add(*platform, counted.devices(*platform));
            }
            total.users += counted.users;
        }
        let twice = api
            .store()
            .extend_list(self.list, self.length, users)
            .await?;
        if let Some(number) = twice.and_then(|index| self.numbers.get(index)) {
            return Err(ApiError::line(
                *number,
                "the user stands in a line before too",
            ));
        }
        self.numbers.clear();
        self.length += length;
        Ok(())
    }

    /// If the store cannot, it forgets the list later.
    async fn discard(self, api: &Api) {
        if let Err(error) = api.store().discard_list(self.list).await {
            tracing::warn!(%error, "a list of users could not be discarded; it is forgotten later");
        }
    }
}

async fn finish(
    api: &Api,
    instance: &Instance,
    request: PublishLines,
    read: Read,
    key: Option<(IdempotencyKey, BodyLines)>,
) -> Result<Response, ApiError> {
    let (audience, users) = match read {
        Read::Interests(names) => (Audience::Interests(names), None),
        Read::Users(users) => {
            let list = UserList {
                number: users.list,
                users: users.length,
            };
            (Audience::List(list), Some(users))
        }
    };
    let request = request.into_request(audience);
    if request.dry_run {
        let Some(mut users) = users else {
            return dry_run::count(api, instance.id(), request).await;
        };
        let counted = users.counted.take();
        users.discard(api).await;
        let (_, counted) = counted.unwrap_or_default();
        return Ok(dry_run::answer(&request, &counted));
    }
    let idempotency = key.map(|(key, lines)| Idempotency {
        key,
        fingerprint: lines.fingerprint(),
    });
    let taken = match request.check_times(api.now()) {
        Ok(()) => publish(api, instance, request, idempotency).await,
        Err(error) => repeated(api, instance, idempotency, error).await,
    };
    if !matches!(taken, Ok(Taken::New(_)))
        && let Some(users) = users
    {
        users.discard(api).await;
    }
    answer(taken?)
}

async fn publish(
    api: &Api,
    instance: &Instance,
    request: PublishRequest,
    idempotency: Option<Idempotency>,
) -> Result<Taken, ApiError> {
    let kind = request.audience.kind().as_str();
    let named = request.audience.named();
    let runner = &api.shared.runner;
    let taken = runner.publish(instance, request, idempotency).await?;
    if let Taken::New(id) = taken {
        tracing::info!(instance = %instance.id(), publish = %id, audience = kind, named, "accepted {id}, in lines");
    }
    Ok(taken)
}

/// Time goes on between a request and its repetition, which is answered all the same.
async fn repeated(
    api: &Api,
    instance: &Instance,
    idempotency: Option<Idempotency>,
    error: InvalidPublish,
) -> Result<Taken, ApiError> {
    let before = match idempotency {
        Some(idempotency) => {
            let runner = &api.shared.runner;
            runner.repeated(instance.id(), idempotency).await?
        }
        None => None,
    };
    before.map(Taken::Repeated).ok_or(ApiError::Publish(error))
}
