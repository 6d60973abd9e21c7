//! [`HttpError`]: the only place that knows which status an error has, and what a caller is told.
//!
//! The body is `application/problem+json` (RFC 9457). It helps the caller and tells nothing about the inside. It is
//! written by [`super::observe`], which knows the request's id.

use std::any::Any;

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tracing::error;

use crate::metrics::labels::{ShedReason, Source};
use crate::service::{ChangeRefusal, Refusal};

/// Why a request is not answered as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpError {
    /// The request is wrong, and this is how.
    BadRequest(&'static str),
    /// There is nothing at this path.
    NotFound,
    /// There is no template with this id.
    NoSuchTemplate,
    /// The path exists, the method does not.
    MethodNotAllowed {
        /// Which ones do, as the header `Allow` lists them.
        allow: &'static str,
    },
    /// Whoever asks may not, for this reason.
    Forbidden(&'static str),
    /// Something of which there is one at a time is under way.
    Busy,
    /// The writer has not shown the right token.
    Unauthorized,
    /// The template is not in the state that the writer expects.
    ConditionFailed,
    /// The body is larger than any that can be right.
    TooLarge,
    /// A limit was reached.
    Shed(ShedReason),
    /// The database could not say, and there is no copy.
    Unavailable,
    /// The service is about to end.
    Draining,
    /// Something here is broken.
    Internal,
}

impl From<Refusal> for HttpError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Shed(reason) => Self::Shed(reason),
            Refusal::Unavailable => Self::Unavailable,
            Refusal::Failed => Self::Internal,
        }
    }
}

impl From<ChangeRefusal> for HttpError {
    fn from(refusal: ChangeRefusal) -> Self {
        match refusal {
            ChangeRefusal::NotFound => Self::NoSuchTemplate,
            ChangeRefusal::ConditionFailed => Self::ConditionFailed,
            ChangeRefusal::Refused(refusal) => refusal.into(),
        }
    }
}

impl HttpError {
    /// The status that says so.
    pub(super) fn status(self) -> StatusCode {
        self.problem().status
    }

    fn problem(self) -> Problem {
        let (status, kind, title, detail) = match self {
            Self::BadRequest(detail) => (
                StatusCode::BAD_REQUEST,
                "bad-request",
                "Bad request",
                detail,
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "Not found",
                "there is nothing at this address",
            ),
            Self::NoSuchTemplate => (
                StatusCode::NOT_FOUND,
                "no-such-template",
                "No such template",
                "there is no template with this id",
            ),
            Self::MethodNotAllowed { .. } => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "this address answers to the methods in Allow",
            ),
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail),
            Self::Busy => (
                StatusCode::CONFLICT,
                "busy",
                "Busy",
                "a run is under way, or was stopped and is about to end; stop it or wait for its end",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Unauthorized",
                "writing needs the header Authorization: Bearer with the right token",
            ),
            Self::ConditionFailed => (
                StatusCode::PRECONDITION_FAILED,
                "condition-failed",
                "Precondition failed",
                "the template is not in a state that If-Match names; read it again",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "Too large",
                "the body is longer than 16 KiB",
            ),
            Self::Shed(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "Overloaded",
                "more requests than can be served at once; try again after the time in Retry-After",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Unavailable",
                "the template cannot be looked up now; try again after the time in Retry-After",
            ),
            Self::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "draining",
                "Draining",
                "this instance is about to end",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "the request could not be served",
            ),
        };
        Problem {
            status,
            kind,
            title,
            detail,
        }
    }

    /// How a request for a template that ends this way is counted.
    pub(super) fn source(self) -> Source {
        match self {
            Self::NoSuchTemplate => Source::NotFound,
            Self::Shed(_) => Source::Shed,
            Self::BadRequest(_)
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::Forbidden(_)
            | Self::Busy
            | Self::Unauthorized
            | Self::ConditionFailed
            | Self::TooLarge
            | Self::Unavailable
            | Self::Draining
            | Self::Internal => Source::Error,
        }
    }
}

/// What a caller is told. Travels with the response until the request's id is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: &'static str,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

impl Problem {
    /// The body, in JSON.
    pub(super) fn body(self, request_id: &str) -> Body {
        let Self {
            status,
            kind,
            title,
            detail,
        } = self;
        let r#type = format!("urn:stampede:problem:{kind}");
        let body = ProblemBody {
            r#type,
            title,
            status: status.as_u16(),
            detail,
            request_id,
        };
        let json =
            serde_json::to_vec(&body).expect("a struct of strings and a number always serialises");
        Body::from(Bytes::from(json))
    }
}

/// Callers that were refused together shall not come back together.
fn retry_after() -> HeaderValue {
    HeaderValue::from(fastrand::u16(1..=3))
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let mut response = problem.status.into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if problem.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, retry_after());
        }
        match self {
            Self::MethodNotAllowed { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response.extensions_mut().insert(problem);
        response
    }
}

/// The answer of a handler that panicked.
pub(super) fn after_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    error!(
        message = message.unwrap_or("no message"),
        "a handler panicked"
    );
    HttpError::Internal.into_response()
}
