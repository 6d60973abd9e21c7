//! The page and the files that it needs, all of them part of the binary.

use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

const PAGE: &str = include_str!("../../assets/index.html");

/// Name, type and text of each file.
const FILES: &[(&str, &str, &str)] = &[];

/// Nothing from elsewhere, and nobody else's frame around it.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn page() -> Response {
    let policy = HeaderValue::from_static(POLICY);
    let mut response = file("text/html; charset=utf-8", PAGE);
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, policy);
    response
}

pub(super) fn find(name: &str) -> Option<Response> {
    let (_, kind, text) = FILES.iter().find(|(known, _, _)| *known == name)?;
    Some(file(kind, text))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}
