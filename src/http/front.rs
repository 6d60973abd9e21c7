//! [`Front`]: where requests enter. What is asked by far the most, a template, goes straight to its answer; everything
//! else through the router, whose boxes on the way to a handler would cost more than that answer does.

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

use super::observe::{Observed, request_id};
use super::problems::HttpError;
use super::reading::Question;
use super::{Http, problems, reading};
use crate::lab::Lab;
use crate::metrics::labels::{Method, Route};

/// Bytes that were there already, or whatever the router made.
pub type AnswerBody = Either<Full<Bytes>, Body>;

/// The whole service, as a connection sees it.
pub struct Front {
    http: Http,
    routed: TowerToHyperService<Router>,
}

impl Front {
    /// All that this service answers to.
    pub fn new(http: Http, lab: Option<&Lab>) -> Self {
        let routed = TowerToHyperService::new(http.router(lab));
        Self { http, routed }
    }

    /// What is needed of a request for a template is read at once, before the connection goes on to read: see
    /// [`Question`].
    pub fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> {
        let method = Method::named(request.method().as_str());
        let reads = matches!(method, Method::Get | Method::Head);
        let way = if reads && request.uri().path() == Route::TemplateDetails.as_str() {
            let (head, _no_body) = request.into_parts();
            Way::Short(request_id(&head.headers), Question::asked_by(head))
        } else {
            // Boxed, so that a connection has no room for what it mostly does not need.
            Way::Routed(Box::pin(self.routed.call(request)))
        };
        async move {
            let mut answer = match way {
                Way::Short(id, question) => self.http.read(method, id, question).await,
                Way::Routed(response) => response.await?.map(Either::Right),
            };
            // The next request is to go elsewhere.
            if self.http.is_draining() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok(answer)
        }
    }
}

impl Http {
    /// Reads a template, counted and with the request's id on its answer.
    pub(super) async fn read(
        &self,
        method: Method,
        id: HeaderValue,
        question: Result<Question, HttpError>,
    ) -> Response<AnswerBody> {
        let shared = &self.shared;
        let mut observed = Observed::begin(&shared.metrics, Route::TemplateDetails, method);
        match caught(pin!(reading::read(shared, question))).await {
            Ok(Ok(template)) => observed.answered(id, template).map(Either::Left),
            Ok(Err(refusal)) => observed.refused(id, refusal).map(Either::Right),
            Err(panic) => observed
                .refused(id, problems::after_panic(panic))
                .map(Either::Right),
        }
    }
}

/// How a request gets to its answer.
enum Way<R> {
    Short(HeaderValue, Result<Question, HttpError>),
    Routed(R),
}

/// What a future comes to, or what it panicked with.
async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Box<dyn Any + Send>> {
    poll_fn(|context| {
        // After a panic it is not polled again, and whatever it shares with others is guarded by drops and locks.
        let polled = AssertUnwindSafe(|| future.as_mut().poll(context));
        match panic::catch_unwind(polled) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_caught_with_what_it_says() {
        let panic = caught(pin!(async { panic!("at once") })).await;
        let Err(panic): Result<(), _> = panic else {
            unreachable!("it did panic")
        };
        assert_eq!(panic.downcast_ref(), Some(&"at once"));
        assert_eq!(caught(pin!(async { 1 })).await.ok(), Some(1));
    }
}
