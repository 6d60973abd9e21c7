//! A headless Chromium, driven over WebDriver: what a person would do with a page, and what they would read on it.

use std::path::Path;
use std::sync::Arc;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::guarded::{Guarded, Program, create_folder, find_binary, off_runtime};
use super::http::Client;
use super::port::ReservedPort;
use super::waiting::eventually;

/// One browser with one window and a profile of its own.
pub struct Browser {
    // Ends with this value, and the browser with it.
    driver: Arc<Guarded>,
    client: Client,
    session: String,
}

/// The key of a WebDriver element reference, fixed by its standard.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

const ARGUMENTS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    // As on a phone, where they take no room.
    "--hide-scrollbars",
];

impl Browser {
    /// Starts a browser.
    pub async fn start() -> Self {
        let (driver, port) = off_runtime(launch).await;
        let mut arguments: Vec<_> = ARGUMENTS.iter().map(ToString::to_string).collect();
        arguments.push(format!(
            "--user-data-dir={}/profile",
            driver.folder().display()
        ));
        let mut browser = Self {
            driver,
            client: Client::new(),
            session: format!("http://127.0.0.1:{}/session", port.number()),
        };
        let wanted = json!({"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": arguments}});
        let begun = browser
            .post("", json!({"capabilities": {"alwaysMatch": wanted}}))
            .await;
        browser.session += "/";
        browser.session += begun["sessionId"].as_str().expect("a session");
        browser
    }

    /// Where its profile is; the folder goes away with this value.
    pub fn folder(&self) -> &Path {
        self.driver.folder()
    }

    /// Opens a page.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// Gives the window this size, in CSS pixels, and the page its light or its dark colours.
    pub async fn look(&self, width: u32, height: u32, colours: &str) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", size).await;
        // Nothing glides, so that what is in view stays where it is.
        let features = json!([
            {"name": "prefers-color-scheme", "value": colours},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.tell("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// Has pages move as they do for most people.
    pub async fn allow_motion(&self) {
        let features = json!([{"name": "prefers-reduced-motion", "value": "no-preference"}]);
        self.tell("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// Cuts the browser off from every network.
    pub async fn go_offline(&self) {
        let nothing =
            json!({"offline": true, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0});
        self.tell("Network.emulateNetworkConditions", nothing).await;
    }

    async fn tell(&self, command: &str, parameters: Value) {
        let body = json!({"cmd": command, "params": parameters});
        self.post("/goog/cdp/execute", body).await;
    }

    /// What this expression of JavaScript is in the page.
    pub async fn read(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.post("/execute/sync", json!({"script": script, "args": []}))
            .await
    }

    /// Waits until this expression holds in the page; `what` completes "waited in vain until ...".
    pub async fn until(&self, what: &str, expression: &str) {
        eventually(what, async || self.read(expression).await == true).await;
    }

    /// The text of the one element that `selector` finds.
    pub async fn text(&self, selector: &str) -> String {
        let text = self
            .read(&format!("document.querySelector({selector:?}).textContent"))
            .await;
        text.as_str().expect("an element").to_owned()
    }

    /// Clicks the one element that `selector` finds, which must be in view or come into it, and not be covered.
    pub async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/click"), json!({}))
            .await;
    }

    /// Types into the one element that `selector` finds.
    pub async fn keys(&self, selector: &str, keys: &str) {
        let element = self.find(selector).await;
        self.post(&format!("/element/{element}/value"), json!({"text": keys}))
            .await;
    }

    async fn find(&self, selector: &str) -> String {
        let found = self
            .post(
                "/element",
                json!({"using": "css selector", "value": selector}),
            )
            .await;
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Errors and warnings that the page's console has shown since the last call.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({"type": "browser"})).await;
        let entries = entries.as_array().expect("a log").iter();
        entries
            .filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let body = Full::new(Bytes::from(body.to_string()));
        let request = Request::post(&url)
            .header("content-type", "application/json")
            .body(body);
        let answer = self.client.send(request.expect("a request")).await;
        let mut answer = answer.expect("an answer of the driver").json();
        assert!(answer["value"]["error"].is_null(), "{url}: {answer}");
        answer["value"].take()
    }
}

fn launch() -> (Arc<Guarded>, ReservedPort) {
    let port = ReservedPort::new();
    let driver = find_binary("chromedriver", &[], "chromium-driver");
    let folder = create_folder();
    // The browser writes into its user's home, whoever that is.
    let mut command = vec!["env".to_owned(), format!("HOME={}", folder.display())];
    command.push(driver);
    command.push(format!("--port={}", port.number()));
    let program = Program {
        command,
        ready: "was started successfully",
        last_signal: "KILL",
    };
    (Guarded::launch(folder, program), port)
}
