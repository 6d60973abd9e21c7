//! `GET` and `HEAD` of a template: parse the request, admit it, ask the service, answer.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::IF_NONE_MATCH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use http_body_util::{Either, Full};

use super::headers::{self, IfNoneMatch};
use super::observe::{Observed, ResponseCount, request_id};
use super::problems::{self, HttpError};
use super::query::template_id;
use super::{AnswerBody, Http};
use crate::freshness::Content;
use crate::metrics::labels::{Method, Route};
use crate::outcomes::Source;
use crate::template::TemplateId;

/// The handler of the route.
pub(super) async fn get(State(http): State<Arc<Http>>, request: Request) -> Response {
    let (head, _no_body) = request.into_parts();
    match read(&http, ReadRequest::parse(head)).await {
        // Of an empty body axum would state the length, 0, which is not the template's.
        Ok(unchanged) if unchanged.status() == StatusCode::NOT_MODIFIED => {
            unchanged.map(|_empty| Body::from_stream(stream::empty::<Result<Bytes, Infallible>>()))
        }
        Ok(template) => template.map(Body::new),
        Err(refused) => refused,
    }
}

impl Http {
    /// Does what the route and its layers do: reads a template, observes the request, survives a panic.
    pub(super) async fn read(
        &self,
        method: Method,
        id: HeaderValue,
        request: Result<ReadRequest, HttpError>,
    ) -> Response<AnswerBody> {
        let mut observed = Observed::begin(&self.metrics, Route::TemplateDetails, method);
        observed.template = request.as_ref().ok().map(|request| request.id);
        // After a panic it is not polled again. What it shares with others is guarded by drops and locks.
        let refused = match AssertUnwindSafe(read(self, request)).catch_unwind().await {
            Ok(Ok(template)) => return observed.finish(id, template).map(Either::Left),
            Ok(Err(refused)) => refused,
            Err(panic) => problems::after_panic(panic),
        };
        let explained = problems::explain(refused, &id);
        observed.finish(id, explained).map(Either::Right)
    }

    /// Answers a GET with this query that comes from inside the process; none if the query cannot be part of an address.
    pub(crate) async fn get_template(&self, query: &str) -> Option<Response> {
        let address = format!("{}?{query}", Route::TemplateDetails.as_str());
        let (head, ()) = Request::get(address).body(()).ok()?.into_parts();
        let (id, request) = (request_id(&head.headers), ReadRequest::parse(head));
        Some(self.read(Method::Get, id, request).await.map(Body::new))
    }
}

/// The template that was asked for, or why it is not answered; counted as one of the two.
async fn read(
    http: &Http,
    request: Result<ReadRequest, HttpError>,
) -> Result<Response<Full<Bytes>>, Response> {
    let mut count = ResponseCount::new(&http.metrics);
    match answer(http, request).await {
        Ok((source, response)) => {
            count.answered(source);
            Ok(response)
        }
        Err(error) => Err(count.refused(error)),
    }
}

async fn answer(
    http: &Http,
    request: Result<ReadRequest, HttpError>,
) -> Result<(Source, Response<Full<Bytes>>), HttpError> {
    let ReadRequest { id, known, headers } = request?;
    let _admitted = http.admit()?;
    let answer = http.service.details(id).await?;
    match &answer.entry.content {
        Content::Template(_) => {
            let age = answer.entry.age(answer.now);
            http.metrics.template_age.observe(age.as_secs_f64());
            let source = answer.source;
            Ok((source, headers::template(headers, id, &known, answer)))
        }
        Content::Absent | Content::Tombstone => Err(HttpError::NoSuchTemplate),
    }
}

/// What a caller asks for. The rest of the request is not kept, so that the connection can use its memory again.
pub(super) struct ReadRequest {
    id: TemplateId,
    known: IfNoneMatch,
    /// Empty, but with room: the answer's headers need no memory of their own.
    headers: HeaderMap,
}

impl ReadRequest {
    pub(super) fn parse(head: Parts) -> Result<Self, HttpError> {
        let id = template_id(head.uri.query())?;
        let mut headers = head.headers;
        let known = IfNoneMatch::parse(id, headers.get_all(IF_NONE_MATCH));
        headers.clear();
        Ok(Self { id, known, headers })
    }
}
