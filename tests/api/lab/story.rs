//! The guided story: that it is true, that everyone can use it, and that it can be taken away as a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::browser::{fits_everywhere, is_content, visitor};
use super::{Page, embedded};
use testkit::{Browser, Service, eventually};

const STEPS: usize = 7;

/// What a step came to, as the page says it.
#[derive(Debug, PartialEq)]
struct Told {
    requests: f64,
    asked: f64,
    queries: f64,
    failed: f64,
    before: f64,
}

fn button(step: usize) -> String {
    format!("document.querySelectorAll('.guide-step')[{}]", step - 1)
}

async fn told(browser: &Browser, step: usize) -> Told {
    let known = format!("{}.dataset.requests !== undefined", button(step));
    browser.until(&format!("step {step} is over"), &known).await;
    let told = browser
        .read(&format!("({{ ...{}.dataset }})", button(step)))
        .await;
    let number = |name: &str| told[name].as_str().unwrap().parse().unwrap();
    Told {
        requests: number("requests"),
        asked: number("asked"),
        queries: number("queries"),
        failed: number("failed"),
        before: number("before"),
    }
}

/// The three large numbers.
async fn large(browser: &Browser) -> [f64; 3] {
    let mut numbers = [0.0; 3];
    for (number, name) in numbers.iter_mut().zip(["requests", "asked", "failed"]) {
        let text = browser.text(&format!("#guide-{name}")).await;
        *number = text.replace(',', "").parse().unwrap();
    }
    numbers
}

/// What the story says has to be what happened.
fn teaches(steps: &[Told]) {
    let [works, expires, shared, cut, copies, gone, well] = steps else {
        panic!("{steps:?}");
    };
    assert_eq!((works.asked, works.failed), (0.0, 0.0));
    // Who asked the database and was refused has failed, and is counted all the same.
    assert!(expires.asked > expires.queries, "{expires:?}");
    assert!(
        expires.asked <= expires.queries + expires.failed,
        "{expires:?}"
    );
    assert!(expires.failed > 0.0, "{expires:?}");
    assert!(expires.queries > 5.0 * shared.queries, "{shared:?}");
    assert_eq!((shared.asked, shared.failed), (shared.queries, 0.0));
    assert!(cut.failed > 0.0, "{cut:?}");
    assert_eq!(copies.failed, 0.0);
    assert_eq!((gone.queries, gone.failed), (0.0, 0.0));
    assert_eq!((well.asked, well.failed), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_starts_by_itself_and_its_numbers_are_those_of_the_counters() {
    let service = Service::start(&[]).await;
    let before = service.scrape().await;
    let browser = Browser::start().await;
    browser.look(1280, 900, "light").await;
    browser.allow_motion().await;
    browser.open(&service.url("/")).await;
    let faster = "(() => { const speed = document.querySelector('#guide-speed'); speed.value = '2';
        return speed.dispatchEvent(new Event('change')); })()";
    browser
        .until(
            "the story has begun",
            "document.querySelector('#guide-title').textContent !== ''",
        )
        .await;
    browser.read(faster).await;

    let mut steps = Vec::new();
    for step in 1..=STEPS {
        steps.push(told(&browser, step).await);
    }
    teaches(&steps);
    let last = &steps[STEPS - 1];
    let told_to_its_end =
        "document.querySelector('#guide-picture').ariaLabel.startsWith('Your turn: 1')";
    browser
        .until("the last step is over", told_to_its_end)
        .await;
    assert_eq!(
        large(&browser).await,
        [last.requests, last.asked, last.failed]
    );
    assert_eq!(browser.text("#guide-play").await, "Again");

    let grown = &service.scrape().await - &before;
    let sum = |of: fn(&Told) -> f64| steps.iter().map(of).sum::<f64>();
    assert_eq!(
        grown.value("db_hits_total"),
        sum(|step| step.queries + step.before)
    );
    assert_eq!(
        grown.sum("template_responses_total"),
        sum(|step| step.requests + step.before)
    );
    let failed = ["shed", "error"]
        .map(|source| grown.value(&format!("template_responses_total{{source=\"{source}\"}}")));
    assert_eq!(failed.iter().sum::<f64>(), sum(|step| step.failed));
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_motion_each_step_is_a_still_picture_and_the_keyboard_turns_the_pages() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/")).await;
    told(&browser, 1).await;
    // Right, twice.
    browser.keys("body", "\u{E014}").await;
    let expires = told(&browser, 2).await;
    assert_eq!(
        large(&browser).await,
        [expires.requests, expires.asked, expires.failed]
    );
    browser.keys("body", "\u{E014}").await;
    let shared = told(&browser, 3).await;
    assert_eq!(shared.failed, 0.0);
    let painted = "document.querySelector('#guide-picture').getContext('2d')
        .getImageData(0, 0, 900, 300).data.some((part) => part > 0)";
    assert_eq!(browser.read(painted).await, true);

    // The one control: without singleflight, the same step fails as the one before. Its tab keeps the story's own result.
    let control = async || browser.text("#guide-control").await;
    assert_eq!(control().await, "Try it without singleflight");
    browser.click("#guide-control").await;
    let fails = "Number(document.querySelector('#guide-failed').textContent) > 0";
    browser.until("it fails without singleflight", fails).await;
    assert_eq!(control().await, "Try it with singleflight");
    assert_eq!(browser.text("#guide-variant").await, "without singleflight");
    assert_eq!(told(&browser, 3).await, shared);
    browser.keys("body", "\u{E012}").await;
    let back = "document.querySelector('#guide-title').textContent.startsWith('2')";
    browser.until("the arrow goes back", back).await;
    fits_everywhere(&browser).await;
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_step_is_the_readers() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/")).await;
    browser.read(&format!("{}.click()", button(STEPS))).await;
    assert_eq!(told(&browser, STEPS).await.failed, 0.0);
    // Redis away and no copies: what singleflight alone comes to.
    for switch in ["Local copies", "Redis"] {
        let find = format!(
            "[...document.querySelectorAll('#guide-hand button')].find((one) => one.textContent.startsWith('{switch}')).click()"
        );
        browser.read(&find).await;
    }
    let fails = "Number(document.querySelector('#guide-failed').textContent) > 0";
    browser.until("it fails", fails).await;
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controls_are_seen_on_a_phone_and_no_number_moves_the_words() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/")).await;
    told(&browser, 1).await;
    let width = async || {
        browser
            .read("document.querySelector('.guide-told').clientWidth")
            .await
    };
    let few = width().await;
    browser
        .read("document.querySelector('#guide-requests').textContent = '1,138'")
        .await;
    assert_eq!(width().await, few);

    browser.look(360, 740, "light").await;
    for control in [
        "#guide-control",
        "#guide-play",
        "#guide-next",
        "#guide-speed",
    ] {
        // What is hidden, as the button without motion, ends at 0.
        let end = format!("document.querySelector('{control}').getBoundingClientRect().bottom");
        let end = browser.read(&end).await.as_f64().unwrap();
        assert!(end < 740.0, "{control} ends at {end}");
    }
}

/// Every name, contrast and heading that matters to those who do not see the page, or see it badly.
const ACCESS: &str = include_str!("access.js");

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_see_the_page_or_sees_it_badly_can_use_it() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/")).await;
    told(&browser, 1).await;
    browser.click("#stampede-go").await;
    let done = "document.querySelector('#stampede-status').textContent.startsWith('Done')";
    browser.until("there is something to look at", done).await;
    browser
        .read("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        .await;
    for colours in ["light", "dark"] {
        browser.look(1440, 900, colours).await;
        let found = browser.read(ACCESS).await;
        assert_eq!(found, json!([]), "{colours}: {found:#}");
    }
}

#[tokio::test]
async fn a_story_ends_when_its_page_goes_away() {
    let service = embedded().await;
    let before = service.scrape().await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::post(service.url("/lab/story"))
        .header("x-stampede-lab", "a-page")
        .body(Full::from(json!({"step": "cache-cut"}).to_string()));
    let mut answer = client.request(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    let scene: Value =
        serde_json::from_slice(first.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    assert_eq!(scene["scene"]["settings"][0], "PROTECTION=singleflight");
    drop((answer, client));

    let mut last = -1.0;
    eventually("nothing is asked any more", async || {
        let requests = (&service.scrape().await - &before).sum("template_responses_total");
        let rests = service.scrape().await.value("http_in_flight_requests") <= 1.0;
        std::mem::replace(&mut last, requests) == requests && rests
    })
    .await;
    let whole = 3.0 * scene["scene"]["rate_per_second"].as_f64().unwrap();
    assert!(last < whole, "{last} of {whole}");
}

#[tokio::test]
async fn a_run_ends_a_story_and_a_story_waits_for_a_run() {
    let service = embedded().await;
    let page = Page::of(&service);
    let story = async || page.post("/lab/story", json!({"step": "expiry"})).await;
    // The story's answer is read until it ends.
    let (told, run) = tokio::join!(story(), async {
        eventually("the story is under way", async || {
            service.scrape().await.sum("template_responses_total") > 10.0
        })
        .await;
        page.run("stampede", json!({"callers": 10, "query_time_ms": 20}))
            .await
    });
    let told = told.text().to_owned();
    let last = told.lines().last().unwrap();
    assert_eq!(last, r#"{"problem":"another run has begun"}"#);
    assert_eq!(run["state"], "done");

    let at = page.begin("incident", json!({})).await;
    assert_eq!(story().await.status, 409);
    page.ask("DELETE", &at, "").await;
    assert_eq!(
        page.post("/lab/story", json!({"step": "none"}))
            .await
            .status,
        400
    );
    let by_hand = json!({"step": "expiry", "by_hand": {"cache": false}});
    assert_eq!(page.post("/lab/story", by_hand).await.status, 400);
}

/// Opens the page from its file, without a network, and turns its pages.
async fn is_told_offline(file: &Path) {
    let browser = Browser::start().await;
    browser.look(1440, 900, "light").await;
    browser.go_offline().await;
    browser.open(&format!("file://{}", file.display())).await;
    let mut steps = Vec::new();
    for step in 1..=STEPS {
        steps.push(told(&browser, step).await);
        let last = &steps[step - 1];
        assert_eq!(
            large(&browser).await,
            [last.requests, last.asked, last.failed]
        );
        if step < STEPS {
            browser.click("#guide-next").await;
        }
    }
    teaches(&steps);
    fits_everywhere(&browser).await;
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_is_written_to_a_file_that_needs_no_server() {
    let folder = Browser::start().await;
    let file = folder.folder().join("story.html");
    let wanted: PathBuf = file.clone();
    let written = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
        command.args(["lab", "--page"]).arg(wanted).env_clear();
        command.output().unwrap()
    });
    let output = written.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    is_told_offline(&file).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_among_the_docs_needs_no_server() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stampede.html");
    let size = std::fs::metadata(&file).unwrap().len();
    assert!(size < 300 * 1024, "{size} bytes");
    is_told_offline(&file).await;
}
