//! The page in a real browser: what a newcomer does with it, and reads on it.

use serde_json::{Value, json};
use testkit::{Browser, Mode, Proxy, Service};

const SIZES: &[(u32, u32)] = &[(1440, 900), (1024, 768), (768, 1024), (360, 800)];

/// A browser that has opened the page at `url` and sees it live.
pub(super) async fn visitor(url: &str) -> Browser {
    let browser = Browser::start().await;
    browser.look(1440, 900, "light").await;
    browser.open(url).await;
    browser.until("the page is live", IS_LIVE).await;
    browser
}

const IS_LIVE: &str = "document.querySelector('#connection').textContent.startsWith('Live')";

/// The cells of a table's body, row by row.
async fn rows(browser: &Browser, selector: &str) -> Vec<Vec<String>> {
    let cells = "row => [...row.cells].map(cell => cell.textContent)";
    let rows = format!("[...document.querySelectorAll('{selector} tbody tr')].map({cells})");
    serde_json::from_value(browser.read(&rows).await).unwrap()
}

/// The number in a cell of the row that begins with `name`, in the column under `head`.
async fn figure(browser: &Browser, table: &str, name: &str, head: &str) -> f64 {
    let heads = format!(
        "[...document.querySelectorAll('{table} th[scope=col]')].map(head => head.textContent)"
    );
    let heads: Vec<String> = serde_json::from_value(browser.read(&heads).await).unwrap();
    let column = heads.iter().position(|known| known == head).unwrap();
    let rows = rows(browser, table).await;
    let row = rows.iter().find(|row| row[0].starts_with(name)).unwrap();
    let number = row[column].split(' ').next().unwrap();
    number.replace(',', "").parse().unwrap()
}

async fn until_done(browser: &Browser, kind: &str) {
    let text = format!("document.querySelector('#{kind}-status').textContent");
    let ended = format!("/^(Done|Stopped|The run failed)/.test({text})");
    browser.until("the run has ended", &ended).await;
    let text = browser.text(&format!("#{kind}-status")).await;
    assert!(text.starts_with("Done"), "{text}");
}

/// Nothing may stand out of the window, in either colours.
pub(super) async fn fits_everywhere(browser: &Browser) {
    for &(width, height) in SIZES {
        for colours in ["light", "dark"] {
            browser.look(width, height, colours).await;
            let resized = format!("innerWidth === {width}");
            browser.until("the window has its size", &resized).await;
            browser.until("the charts have theirs", IS_DRAWN).await;
            let wide = browser.read("document.documentElement.scrollWidth").await;
            assert_eq!(wide, width, "{colours}");
        }
    }
    browser.look(1440, 900, "light").await;
}

/// Charts are drawn anew in the frame after their box has changed.
const IS_DRAWN: &str = "[...document.querySelectorAll('.plot')].every(plot => !plot.clientWidth
    || !plot.firstChild || Math.abs(plot.firstChild.clientWidth - plot.clientWidth) <= 1)";

pub(super) async fn is_content(browser: &Browser) {
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert_eq!(
        browser
            .read("document.querySelector('#trouble').open")
            .await,
        false
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_starts_a_stampede_and_reads_that_singleflight_made_one_query() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/")).await;
    browser.click("#stampede-go").await;
    until_done(&browser, "stampede").await;
    // The chart is what is looked at first, beside the button.
    let bars = "document.querySelector('#comparison-bars').getBoundingClientRect().top
        - document.querySelector('#stampede-go').getBoundingClientRect().top";
    let below = browser.read(bars).await.as_f64().unwrap();
    assert!((-50.0..150.0).contains(&below), "{below}");
    let queries = async |strategy| figure(&browser, "#comparison-table", strategy, "Queries").await;
    assert!(queries("off").await >= 100.0, "{}", queries("off").await);
    assert_eq!(queries("mutex").await, 1.0);
    assert_eq!(queries("singleflight").await, 1.0);
    let predicted = figure(&browser, "#comparison-table", "off", "Predicted").await;
    assert_eq!(predicted, 500.0);
    browser.click("#comparison summary").await;
    let drawn = "document.querySelectorAll('#comparison svg[role=img][aria-label]').length === 5";
    browser
        .until("a bar chart and four curves are drawn", drawn)
        .await;
    let of_before = "document.querySelector('#comparison').classList.contains('outdated')";
    assert_eq!(browser.read(of_before).await, false);
    // Backspace twice, so that 500 callers become 5.
    browser.keys("#callers", "\u{E003}\u{E003}").await;
    assert_eq!(browser.read(of_before).await, true);

    fits_everywhere(&browser).await;
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_black_holed_on_the_page_and_answers_continue() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/")).await;
    // As with a keyboard: each key is a step of 50 requests a second.
    let right = "\u{E014}".repeat(4);
    browser.keys("#traffic", &right).await;
    let mechanism =
        |name: &str| format!("document.querySelector('#mechanism').textContent === '{name}'");
    browser.until("the cache answers", &mechanism("hit")).await;

    browser.click("input[name=cache][value=black-holed]").await;
    browser
        .until("the local copies answer", &mechanism("local"))
        .await;
    assert!(browser.text("#injected").await.contains("never answered"));
    let errors = browser.text("#source-error").await;
    assert_eq!(errors, "0/s");
    fits_everywhere(&browser).await;

    // Not under the header, where a click cannot reach it.
    let into_view = "document.querySelector('#clear').scrollIntoView({ block: 'center' })";
    browser.read(into_view).await;
    browser.click("#clear").await;
    browser.until("nobody asks", &mechanism("idle")).await;
    let conditions = &service.get("/lab/conditions").await.json();
    assert_eq!(
        (&conditions["cache"], &conditions["traffic_per_second"]),
        (&json!("ok"), &json!(0))
    );
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_sets_up_the_incident_and_the_button_plays_it() {
    let service = Service::start(&[]).await;
    let link =
        "/#incident?rate_per_second=500&ttl_ms=500&warm_ms=1000&outage_ms=2500&recovery_ms=1000";
    let browser = visitor(&service.url(link)).await;
    let outage = browser.read("document.querySelector('#incident-outage').value");
    assert_eq!(outage.await, "2500");
    assert_eq!(service.get("/lab/live").await.json()["run"], Value::Null);

    browser.click("#incident-go").await;
    until_done(&browser, "incident").await;
    let errors = async |part| figure(&browser, "#story-table", part, "Errors").await;
    assert!(errors("Without").await > 0.0);
    assert!(errors("Singleflight only").await > 0.0);
    assert_eq!(errors("Everything").await, 0.0);
    fits_everywhere(&browser).await;
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_tried_and_ones_own_figures_are_answered() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/#experiment?experiment=failing-load")).await;
    browser.click("#experiment-go").await;
    until_done(&browser, "experiment").await;
    let loads = async |case| figure(&browser, "#experiment-results", case, "loads").await;
    assert_eq!(
        (loads("mutex").await, loads("singleflight").await),
        (20.0, 1.0)
    );

    let away = "Queries/s while the cache is away";
    let queries = async |measure| figure(&browser, "#right-results", measure, away).await;
    assert_eq!(queries("none").await, 400.0);
    assert!(queries("and local copies").await < 100.0);
    // To the end, backspace three times, another rate.
    browser
        .keys(
            "#right-rate_per_second",
            "\u{E010}\u{E003}\u{E003}\u{E003}90",
        )
        .await;
    let answered = "document.querySelector('#right-results td:last-child').textContent === '90'";
    browser
        .until("the answer follows the figures", answered)
        .await;
    fits_everywhere(&browser).await;
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_explained_and_the_keyboard_is_enough_for_it() {
    let service = Service::start(&[]).await;
    let browser = visitor(&service.url("/")).await;
    // Backspace, an id, Enter.
    browser.keys("#explain-id", "\u{E003}7\u{E007}").await;
    let explained = "document.querySelector('#explain-status').textContent.startsWith('200')";
    browser.until("the answer is explained", explained).await;
    assert_eq!(
        browser.text("#explain-request").await,
        "GET /template-details?id=7"
    );
    assert!(!rows(&browser, "#explain-cache").await.is_empty());
    let landed = "document.querySelector('#flights-landed tbody th')?.textContent === 'service'";
    browser.until("its flight has landed", landed).await;

    browser.keys("#explain-id", "\u{E003}<b>x\u{E007}").await;
    let refused = "document.querySelector('#explain-status').textContent.startsWith('400')";
    browser.until("the refusal is explained", refused).await;
    is_content(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_that_the_service_is_away_and_recovers_by_itself() {
    let service = Service::start(&[]).await;
    let proxy = Proxy::to(service.address().port()).await;
    let browser = visitor(&proxy.url(&service.url("/"))).await;
    proxy.set(Mode::Refuse).await;
    let away = "document.querySelector('#connection').textContent.startsWith('The service does not answer')";
    browser.until("the page says so", away).await;
    browser.click("#stampede-go").await;
    let told =
        "document.querySelector('#stampede-status').textContent.startsWith('The service does not')";
    browser.until("the button says so", told).await;

    proxy.set(Mode::Pass).await;
    browser.until("the page is live again", IS_LIVE).await;
    browser.click("#stampede-go").await;
    until_done(&browser, "stampede").await;
}
