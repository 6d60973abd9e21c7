//! The lab: who may use it, what its figures are, and that it does what it says.

use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use testkit::http::{Answer, Client};
use testkit::{Service, eventually};

mod browser;
mod conditions;
mod experiments;
mod figures;
mod incident;
mod safety;
mod stops;
mod story;
mod terminal;
mod traces;
mod views;

/// What a page does: every request with its token.
struct Page<'a> {
    service: &'a Service,
    client: Client,
}

impl<'a> Page<'a> {
    fn of(service: &'a Service) -> Self {
        Self {
            service,
            client: Client::new(),
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(self.service.url(path));
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let request = request.body(Full::from(body.to_owned())).unwrap();
        self.client.send(request).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, &[("x-stampede-lab", "a-page")], body)
            .await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &body.to_string()).await
    }

    /// Begins a run and says where it is.
    async fn begin(&self, kind: &str, body: Value) -> String {
        let answer = self.post(&format!("/lab/runs/{kind}"), body).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.header("location").unwrap().to_owned()
    }

    /// Runs something to its end.
    async fn run(&self, kind: &str, body: Value) -> Value {
        let at = self.begin(kind, body).await;
        eventually("the run is over", async || {
            self.get(&at).await["state"] != "running"
        })
        .await;
        let run = self.get(&at).await;
        assert_eq!(run["state"], "done", "{run}");
        run
    }
}

async fn embedded() -> Service {
    Service::start(&[]).await
}
