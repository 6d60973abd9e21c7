//! The service under test, through its public parts: settings, build, a listener on port 0, and a way to end it.

use std::collections::HashMap;
use std::net::SocketAddr;

use stampede::app::App;
use stampede::config::Config;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::http::{Answer, Client};
use super::{Scrape, eventually};

/// A service that serves until it is dropped or [`Service::stop`]ped.
pub struct Service {
    address: SocketAddr,
    client: Client,
    shutdown: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Service {
    /// Starts a service with these settings, defaults for the rest.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let settings: HashMap<_, _> = settings.iter().copied().collect();
        let config =
            Config::from_variables(|name| settings.get(name).map(|value| value.to_string()));
        let app = App::build(&config.expect("usable settings"))
            .await
            .expect("addresses that the clients accept");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port that was bound");
        let (shutdown, signal) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let signal = async { signal.await.unwrap_or(()) };
            app.serve(listener, signal)
                .await
                .expect("a listener that knows its address");
        });
        Self {
            address,
            client: Client::new(),
            shutdown: Some(shutdown),
            serving,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://…` of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str) -> Answer {
        self.client.get(&self.url(path)).await
    }

    /// Asks in another way.
    pub async fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.client.request(method, &self.url(path), headers).await
    }

    /// Asks for a template.
    pub async fn template(&self, id: i64) -> Answer {
        self.get(&format!("/template-details?id={id}")).await
    }

    /// Has so many callers ask for a template at once, each on a connection of its own, and returns all answers.
    pub async fn callers(&self, count: usize, id: i64) -> Vec<Answer> {
        let ask = |_| {
            let (client, url) = (
                self.client.clone(),
                self.url(&format!("/template-details?id={id}")),
            );
            tokio::spawn(async move { client.get(&url).await })
        };
        let asking: Vec<_> = (0..count).map(ask).collect();
        let mut answers = Vec::with_capacity(count);
        for answer in asking {
            answers.push(answer.await.expect("an answer"));
        }
        answers
    }

    /// Reads `/metrics`.
    pub async fn scrape(&self) -> Scrape {
        Scrape::of(&self.url("")).await
    }

    /// Waits until `/readyz` says this of the two backends.
    pub async fn until_ready_says(&self, words: &str) {
        let what = format!("/readyz says {words:?}");
        eventually(&what, async || self.get("/readyz").await.text() == words).await;
    }

    /// Begins to drain.
    pub fn shut_down(&mut self) {
        let _ = self.shutdown.take().map(|shutdown| shutdown.send(()));
    }

    /// Drains and waits for the end.
    pub async fn stop(mut self) {
        self.shut_down();
        self.serving.await.expect("a service that ends in order");
    }
}
