//! Asking over HTTP without believing that an answer will come.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use testkit::http::{Answer, Client};
use tokio::time::timeout;

use crate::stage::REQUEST_TIMEOUT;

/// The longest that any request may take, on a machine that may be busy with other things.
pub(crate) const LONGEST: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(3));

/// The answer to a GET, or why there is none.
pub(crate) async fn ask(client: &Client, url: &str) -> Result<Answer, String> {
    let request = Request::get(url)
        .body(Default::default())
        .expect("a URL made of digits and ASCII literals");
    send(client, request).await
}

/// The answer to any request, or why there is none.
pub(crate) async fn send(client: &Client, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    match timeout(LONGEST, client.send(request)).await {
        Ok(answer) => answer.map_err(|error| format!("{error:?}")),
        Err(_) => Err(format!("no answer within {LONGEST:?}")),
    }
}
