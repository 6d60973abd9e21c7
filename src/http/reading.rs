//! Reading: `GET` and `HEAD` of a template.

use axum::http::HeaderMap;
use axum::http::header::IF_NONE_MATCH;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::Full;

use super::observe::ResponseCount;
use super::problems::HttpError;
use super::tags::IfNoneMatch;
use super::{Shared, headers, query};
use crate::freshness::Content;
use crate::metrics::labels::{ShedReason, Source};
use crate::template::TemplateId;

/// The template that was asked for, or why it is not answered.
pub(super) async fn read(
    shared: &Shared,
    question: Result<Question, HttpError>,
) -> Result<Response<Full<Bytes>>, Response> {
    let mut count = ResponseCount::new(&shared.metrics);
    match answer(shared, question).await {
        Ok((source, response)) => {
            count.came_from(source);
            Ok(response)
        }
        Err(error) => Err(super::refuse(shared, error, count)),
    }
}

async fn answer(
    shared: &Shared,
    question: Result<Question, HttpError>,
) -> Result<(Source, Response<Full<Bytes>>), HttpError> {
    let question = question?;
    let _admitted = shared
        .admission
        .try_acquire()
        .map_err(|_| HttpError::Shed(ShedReason::InFlight))?;
    let answer = shared.service.details(question.id).await?;
    match &answer.entry.content {
        Content::Template(_) => Ok((answer.source, headers::template(question, answer))),
        Content::Absent | Content::Tombstone => Err(HttpError::NoSuchTemplate),
    }
}

/// What a caller wants to know. The rest of the request is not kept while the answer is looked for, so that the
/// connection has that memory back when it reads on.
pub(super) struct Question {
    pub(super) id: TemplateId,
    /// What the caller has already.
    pub(super) known: IfNoneMatch,
    /// Empty, with room: the answer's headers need no memory of their own.
    pub(super) headers: HeaderMap,
}

impl Question {
    /// Reads what stands in a request.
    pub(super) fn asked_by(head: Parts) -> Result<Self, HttpError> {
        let id = query::template_id(head.uri.query())?;
        let mut headers = head.headers;
        let known = IfNoneMatch::named(id, headers.get_all(IF_NONE_MATCH));
        headers.clear();
        Ok(Self { id, known, headers })
    }
}
