//! `PUT` and `DELETE` of a template, for callers with the token.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tokio::time::timeout;

use super::headers::{self, version_of};
use super::observe::ResponseCount;
use super::problems::HttpError;
use super::{Http, query};
use crate::outcomes::Source;
use crate::store::{Change, Condition};
use crate::template::{State as TemplateState, TemplateId};

/// What a writer sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTemplate {
    name: String,
}

/// The database is asked for each in turn, on one connection.
const MOST_TAGS: usize = 16;

const LONGEST_BODY: usize = 16 * 1024;

/// Longest wait for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers every method but GET and HEAD.
pub(super) async fn write(State(http): State<Arc<Http>>, request: Request) -> Response {
    let mut count = ResponseCount::new(&http.metrics);
    let (head, body) = request.into_parts();
    match answer(&http, &head, body).await {
        Ok(response) => {
            count.answered(Source::Loaded);
            response
        }
        Err(error) => count.refused(error),
    }
}

async fn answer(http: &Http, head: &Parts, body: Body) -> Result<Response, HttpError> {
    let writes = matches!(head.method, Method::PUT | Method::DELETE);
    let token = match &http.admin_token {
        Some(token) if writes => token,
        Some(_) => {
            return Err(HttpError::MethodNotAllowed {
                allow: "GET, HEAD, PUT, DELETE",
            });
        }
        // Without a token the write endpoints do not exist.
        None if writes => return Err(HttpError::NotFound),
        None => return Err(HttpError::READ_ONLY),
    };
    authorize(token.expose(), &head.headers)?;
    let id = query::template_id(head.uri.query())?;
    let condition = condition(id, &head.headers)?;
    let change = match head.method {
        Method::PUT => Change::Put {
            name: read_name(&head.headers, body).await?,
            condition,
        },
        _ => Change::Delete { condition },
    };
    let _admitted = http.admit()?;
    Ok(match http.service.change(id, change).await? {
        TemplateState::Present(template) => headers::written(&template),
        TemplateState::Absent { .. } => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Compares in constant time, so that the time does not tell how much of the token was right.
fn authorize(token: &str, headers: &HeaderMap) -> Result<(), HttpError> {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().split_at_checked(SCHEME.len()));
    match given {
        Some((scheme, given))
            if scheme.eq_ignore_ascii_case(SCHEME) && given.ct_eq(token.as_bytes()).into() =>
        {
            Ok(())
        }
        _ => Err(HttpError::Unauthorized),
    }
}

const SCHEME: &[u8] = b"Bearer ";

/// `If-Match`: a list of tags, or `*`. A weak tag, or one of another template, matches no version.
fn condition(id: TemplateId, headers: &HeaderMap) -> Result<Condition, HttpError> {
    let mut versions = Vec::new();
    let mut given = headers.get_all(IF_MATCH).iter().peekable();
    if given.peek().is_none() {
        return Ok(Condition::None);
    }
    for value in given {
        let value = value
            .to_str()
            .map_err(|_| HttpError::BadRequest("If-Match must be a list of entity tags, or *"))?;
        for tag in value.split(',').map(str::trim) {
            match tag {
                "*" => return Ok(Condition::Exists),
                tag => versions.extend(version_of(id, tag)),
            }
        }
    }
    if versions.len() > MOST_TAGS {
        return Err(HttpError::BadRequest(
            "If-Match names more than 16 entity tags",
        ));
    }
    Ok(Condition::OneOf(versions))
}

async fn read_name(headers: &HeaderMap, body: Body) -> Result<String, HttpError> {
    let body = read_body(headers, body).await?;
    let NewTemplate { name } = serde_json::from_slice(&body).map_err(|_| {
        HttpError::BadRequest("the body must be JSON of the form {\"name\": \"...\"}")
    })?;
    if name.trim().is_empty() || name.contains('\0') {
        return Err(HttpError::BadRequest(
            "the name must not be empty, and must not contain a NUL",
        ));
    }
    Ok(name)
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, HttpError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LONGEST_BODY as u64) {
        return Err(HttpError::TooLarge);
    }
    let read = timeout(BODY_TIMEOUT, to_bytes(body, LONGEST_BODY + 1)).await;
    match read.map_err(|_| HttpError::BadRequest("the body did not arrive in time"))? {
        Ok(bytes) if bytes.len() <= LONGEST_BODY => Ok(bytes),
        Ok(_) => Err(HttpError::TooLarge),
        Err(error) if is_too_long(&error) => Err(HttpError::TooLarge),
        Err(_) => Err(HttpError::BadRequest("the body ended early")),
    }
}

/// [`to_bytes`] stops one byte behind the limit.
fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}
