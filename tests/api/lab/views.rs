//! What there is to see: the last minutes, the flights, and why an answer is as it is.

use serde_json::{Value, json};
use testkit::{Service, eventually};

use super::{Page, embedded};

#[tokio::test]
async fn the_choices_are_those_that_are_accepted() {
    let service = embedded().await;
    let page = Page::of(&service);
    let choices = page.get("/lab").await;
    assert_eq!(
        (&choices["database"], &choices["cache"]),
        (&json!("embedded"), &json!("embedded"))
    );
    let strategies = choices["strategies"].as_array().unwrap();
    let names: Vec<_> = strategies
        .iter()
        .map(|strategy| strategy["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "off",
            "load-or-store",
            "mutex",
            "singleflight",
            "early",
            "stale"
        ]
    );
    for strategy in strategies {
        for said in ["how", "good_at", "bad_at"] {
            assert!(
                strategy[said].as_str().is_some_and(|said| said.len() > 20),
                "{strategy}"
            );
        }
        assert_eq!(strategy["setting"].is_null(), strategy["service"] == false);
    }
    for (kind, name) in [
        ("stampede", "stampede"),
        ("stampede", "sustained"),
        ("incident", "incident"),
    ] {
        let at = page.begin(kind, choices["defaults"][name].clone()).await;
        assert_eq!(page.get(&at).await["parameters"], choices["defaults"][name]);
        page.ask("DELETE", &at, "").await;
    }
}

#[tokio::test]
async fn a_sample_a_second_says_what_was_counted_in_it() {
    let service = embedded().await;
    let page = Page::of(&service);
    for _ in 0..20 {
        service.template(1).await;
    }
    let sum = |live: &Value, field: &str| {
        let samples = live["samples"].as_array().unwrap();
        samples
            .iter()
            .map(|sample| sample[field].as_u64().unwrap())
            .sum::<u64>()
    };
    eventually("the requests are in a sample", async || {
        sum(&page.get("/lab/live").await, "requests") == 20
    })
    .await;
    let live = page.get("/lab/live").await;
    assert_eq!(
        (
            sum(&live, "queries"),
            sum(&live, "hits"),
            sum(&live, "misses")
        ),
        (1, 19, 1)
    );
    assert_eq!(
        live["totals"],
        json!({"requests": 20, "queries": 1, "requests_per_query": 20.0})
    );
    let busy: Vec<_> = live["samples"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|sample| sample["requests"] != 0)
        .collect();
    assert!(
        busy.iter()
            .all(|sample| sample["p95_ms"].as_f64() > Some(0.0)),
        "{live}"
    );
    // Whoever has a sample is not sent it again.
    let seq = live["seq"].as_u64().unwrap();
    let later = page.get(&format!("/lab/live?since={seq}")).await;
    let samples = later["samples"].as_array().unwrap();
    assert!(
        samples
            .iter()
            .all(|sample| sample["seq"].as_u64() > Some(seq)),
        "{later}"
    );
    assert_eq!(page.ask("GET", "/lab/live?since=x", "").await.status, 400);
}

#[tokio::test]
async fn a_flight_is_seen_while_it_lasts_and_after_it_has_landed() {
    let service = embedded().await;
    let page = Page::of(&service);
    let order = json!({"callers": 40, "query_time_ms": 2000, "template": 9, "strategies": ["singleflight"]});
    let at = page.begin("stampede", order).await;
    eventually("everybody is aboard", async || {
        let flights = page.get("/lab/flights").await;
        let flight = &flights["in_flight"][0];
        flight["callers"] == 40
            && flight["template"] == 9
            && flight["by"] == "singleflight"
            && flight["current"] == true
    })
    .await;
    eventually("it is over", async || {
        page.get(&at).await["state"] == "done"
    })
    .await;
    assert_eq!(service.template(3).await.status, 200);
    let flights = page.get("/lab/flights").await;
    assert_eq!(flights["in_flight"], json!([]));
    let landed = &flights["landed"];
    assert_eq!(
        (
            &landed[0]["by"],
            &landed[0]["template"],
            &landed[0]["callers"]
        ),
        (&json!("service"), &json!(3), &json!(1))
    );
    assert_eq!(
        (
            &landed[1]["by"],
            &landed[1]["outcome"],
            &landed[1]["callers"]
        ),
        (&json!("singleflight"), &json!("ok"), &json!(40))
    );
}

#[tokio::test]
async fn no_more_than_the_last_fifty_flights_are_kept() {
    let service = Service::start(&[("DB_DELAY", "0ms")]).await;
    for id in 1..=60 {
        service.template(id).await;
    }
    let landed = Page::of(&service).get("/lab/flights").await["landed"].clone();
    assert_eq!(
        (landed.as_array().unwrap().len(), &landed[0]["template"]),
        (50, &json!(60))
    );
}

#[tokio::test]
async fn an_answer_is_explained_member_by_member() {
    let service = embedded().await;
    let page = Page::of(&service);
    let mut seen = Vec::new();
    for (id, status) in [
        ("1", 200),
        ("1", 200),
        ("101", 404),
        ("0", 400),
        ("", 400),
        ("1&id=2", 400),
    ] {
        let explained = page.get(&format!("/lab/explain?id={id}")).await;
        assert_eq!(explained["status"], status, "{explained}");
        assert!(explained["sentence"].as_str().unwrap().len() > 10);
        assert!(explained["headers"]["x-request-id"].is_string());
        for list in ["cache_status", "server_timing"] {
            for member in explained[list].as_array().unwrap() {
                let meaning = member["meaning"].as_str().unwrap();
                assert!(!meaning.contains("not known"), "{explained}");
            }
        }
        seen.push(explained);
    }
    let members = |explained: &Value| -> Vec<String> {
        let members = explained["cache_status"].as_array().unwrap();
        members
            .iter()
            .map(|member| member["member"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(members(&seen[0]), ["fwd=miss", "stored"]);
    assert_eq!(members(&seen[1])[0], "hit");
    assert_eq!(seen[1]["body"]["name"], "Template 1");
    assert_eq!(page.ask("GET", "/lab/explain", "").await.status, 400);
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let service = embedded().await;
    let page = service.get("/").await;
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'self';")
    );
    assert_eq!(
        Page::of(&service)
            .ask("GET", "/lab/assets/..", "")
            .await
            .status,
        404
    );
}
