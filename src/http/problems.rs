//! [`HttpError`]: why a request is refused, with its status, its headers and its body.
//!
//! The body is `application/problem+json` (RFC 9457). It helps the caller and has no internal details. [`explain`] writes it
//! once the request's id is known. No other file decides the status of a refusal.

use std::any::Any;

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::error;

use crate::outcomes::{ShedReason, Source};
use crate::service::{ChangeRefusal, Refusal};

/// Why a request is not answered as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpError {
    /// The request is wrong, for this reason.
    BadRequest(&'static str),
    /// There is nothing at this path.
    NotFound,
    /// There is no template with this id.
    NoSuchTemplate,
    /// The path exists, the method does not.
    MethodNotAllowed {
        /// The methods that do, as `Allow` lists them.
        allow: &'static str,
    },
    /// The caller may not ask this, for this reason.
    Forbidden(&'static str),
    /// The resource is in use, and this is what the caller can do.
    Busy(&'static str),
    /// The writer did not send the right token.
    Unauthorized,
    /// The template is not in the state that the writer expects.
    ConditionFailed,
    /// The body is larger than any that can be right.
    TooLarge,
    /// A limit was reached.
    Shed(ShedReason),
    /// The database could not be asked, and there is no copy.
    Unavailable,
    /// The service is about to end.
    Draining,
    /// The service has an error.
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
    /// The refusal of every method but GET and HEAD.
    pub(crate) const READ_ONLY: Self = Self::MethodNotAllowed { allow: "GET, HEAD" };

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound | Self::NoSuchTemplate => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Busy(_) => StatusCode::CONFLICT,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ConditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Shed(_) | Self::Unavailable | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The end of the problem's `type`, and its `title`.
    fn kind_and_title(self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest(_) => ("bad-request", "Bad request"),
            Self::NotFound => ("not-found", "Not found"),
            Self::NoSuchTemplate => ("no-such-template", "No such template"),
            Self::MethodNotAllowed { .. } => ("method-not-allowed", "Method not allowed"),
            Self::Forbidden(_) => ("forbidden", "Forbidden"),
            Self::Busy(_) => ("busy", "Busy"),
            Self::Unauthorized => ("unauthorized", "Unauthorized"),
            Self::ConditionFailed => ("condition-failed", "Precondition failed"),
            Self::TooLarge => ("too-large", "Too large"),
            Self::Shed(_) => ("overloaded", "Overloaded"),
            Self::Unavailable => ("unavailable", "Unavailable"),
            Self::Draining => ("draining", "Draining"),
            Self::Internal => ("internal", "Internal error"),
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::BadRequest(detail) | Self::Forbidden(detail) | Self::Busy(detail) => detail,
            Self::NotFound => "there is nothing at this address",
            Self::NoSuchTemplate => "there is no template with this id",
            Self::MethodNotAllowed { .. } => "this address answers to the methods in Allow",
            Self::Unauthorized => {
                "writing needs the header Authorization: Bearer with the right token"
            }
            Self::ConditionFailed => {
                "the template is not in a state that If-Match names; read it again"
            }
            Self::TooLarge => "the body is longer than 16 KiB",
            Self::Shed(_) => {
                "more requests than can be served at once; try again after the time in Retry-After"
            }
            Self::Unavailable => {
                "the template cannot be looked up now; try again after the time in Retry-After"
            }
            Self::Draining => "this instance is about to end",
            Self::Internal => "the request could not be served",
        }
    }

    /// The source under which a request for a template is counted that ends this way.
    pub(super) fn source(self) -> Source {
        match self {
            Self::NoSuchTemplate => Source::NotFound,
            Self::Shed(_) => Source::Shed,
            Self::BadRequest(_)
            | Self::NotFound
            | Self::MethodNotAllowed { .. }
            | Self::Forbidden(_)
            | Self::Busy(_)
            | Self::Unauthorized
            | Self::ConditionFailed
            | Self::TooLarge
            | Self::Unavailable
            | Self::Draining
            | Self::Internal => Source::Error,
        }
    }
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

/// Writes the body of a response that an [`HttpError`] made; any other response stays as it is.
pub(super) fn explain(mut response: Response, request_id: &HeaderValue) -> Response {
    let Some(error) = response.extensions_mut().remove::<HttpError>() else {
        return response;
    };
    let (kind, title) = error.kind_and_title();
    let body = ProblemBody {
        r#type: format!("urn:stampede:problem:{kind}"),
        title,
        status: error.status().as_u16(),
        detail: error.detail(),
        request_id: request_id.to_str().unwrap_or_default(),
    };
    let json =
        serde_json::to_vec(&body).expect("a struct of strings and a number always serialises");
    *response.body_mut() = Body::from(json);
    response
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::MethodNotAllowed { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Self::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Shed(_) | Self::Unavailable | Self::Draining => {
                // Callers that were refused together must not come back together.
                headers.insert(RETRY_AFTER, HeaderValue::from(fastrand::u16(1..=3)));
            }
            Self::BadRequest(_)
            | Self::NotFound
            | Self::NoSuchTemplate
            | Self::Forbidden(_)
            | Self::Busy(_)
            | Self::ConditionFailed
            | Self::TooLarge
            | Self::Internal => {}
        }
        response.extensions_mut().insert(self);
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
