//! Traces, as a collector receives them: one load however many wait for it, and each wait with a link to it.

mod collector;

use std::collections::HashSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use self::collector::{Collector, Span};
use crate::process::Process;
use crate::stampede::{caller, release, service_behind_a_lock, until};
use crate::writing::{TOKEN, change};
use testkit::http::{Answer, Client};
use testkit::{Mode, Proxy, Service, eventually, http, postgres, redis};

const ALL_WELL: &str = "database: ok\ncache: ok\n";
const SERVER: &str = "GET /template-details";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn sampled() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

fn unsampled() -> String {
    format!("00-{TRACE}-{CALLER}-00")
}

/// A service with embedded backends.
async fn embedded(endpoint: &str, settings: &[(&str, &str)]) -> Service {
    let mut all = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("DB_DELAY", "0ms"),
    ];
    all.extend(settings);
    Service::start(&all).await
}

/// Asks for a template on a connection of its own.
async fn ask(service: &Service, id: i64, traceparent: &str) -> Answer {
    let path = format!("/template-details?id={id}");
    let headers: &[(&str, &str)] = match traceparent {
        "" => &[],
        traceparent => &[("traceparent", traceparent)],
    };
    http::request("GET", &service.url(&path), headers).await
}

/// All of these wait for the one load.
fn assert_waits(waits: &[Span], load: &Span, count: usize) {
    assert_eq!(waits.len(), count);
    assert!(waits.iter().all(|wait| wait.links == [load.as_link()]));
    let parents: HashSet<_> = waits.iter().map(|wait| &wait.parent).collect();
    assert_eq!(parents.len(), count, "each of a request of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_callers_of_a_cold_template_are_one_load_and_99_waits_that_link_to_it() {
    let collector = Collector::start().await;
    let endpoint = collector.url();
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (service, lock) = service_behind_a_lock(&settings).await;
    let (answers, ()) = tokio::join!(service.callers(100, 1), async {
        until(&service, "cache_misses_total", 100).await;
        release(lock).await;
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    service.stop().await;

    let (load, requests) = (collector.the("template.load"), collector.named(SERVER));
    assert_eq!(requests.len(), 100);
    assert!(requests.iter().all(|request| {
        request.parent.is_empty()
            && request.kind == "SPAN_KIND_SERVER"
            && request.get("http.request.method") == "GET"
            && request.get("http.route") == "/template-details"
            && request.get("http.response.status_code") == "200"
            && request.get("url.query") == "id=1"
    }));
    let from = |source: &'static str| {
        let requests = requests.iter();
        requests.filter(move |request| request.get("stampede.source") == source)
    };
    assert_eq!((from("loaded").count(), from("shared").count()), (1, 99));
    let leader = from("loaded").next().unwrap();
    assert!(load.is_child_of(leader) && load.start >= leader.start);
    assert_eq!(load.get("stampede.flight.callers"), "100");
    assert_eq!(load.get("stampede.flight.outcome"), "ok");
    assert!(!load.get("stampede.flight.generation").is_empty() && load.links.is_empty());

    let waits = collector.named("template.wait");
    assert_waits(&waits, &load, 99);
    for wait in &waits {
        let request = requests.iter().find(|request| wait.is_child_of(request));
        assert!(wait.is_within(request.unwrap()));
    }

    let (query, fill) = (collector.the("SELECT templates"), collector.the("EVAL"));
    for (span, system) in [(&query, "postgresql"), (&fill, "redis")] {
        assert!(
            span.is_child_of(&load) && span.is_within(&load),
            "{span:#?}"
        );
        assert_eq!(
            (span.kind, span.get("db.system.name")),
            ("SPAN_KIND_CLIENT", system)
        );
    }
    assert_eq!(query.get("db.operation.name"), "SELECT");
    assert!(query.end <= fill.start);
    assert_eq!(load.resource("service.name"), "stampede");
    assert_eq!(load.resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert!(!load.resource("service.instance.id").is_empty());
    assert_lookups(&collector, &requests);
}

/// Each request asked Redis: by a command of its own, or by one that it shared.
fn assert_lookups(collector: &Collector, requests: &[Span]) {
    let commands = [collector.named("GET"), collector.named("MGET")].concat();
    let waits = collector.named("cache.wait");
    for request in requests {
        let alone = commands
            .iter()
            .filter(|command| command.is_child_of(request));
        let together = waits.iter().filter(|wait| wait.is_child_of(request));
        let together: Vec<_> = together.collect();
        assert_eq!(alone.count() + together.len(), 1);
        for wait in together {
            let within = commands.iter().filter(|command| command.is_child_of(wait));
            let linked = commands
                .iter()
                .filter(|command| wait.links == [command.as_link()]);
            assert_eq!(within.count() + linked.count(), 1, "{wait:#?}");
        }
    }
    assert!(
        !waits.is_empty(),
        "a hundred at once are too many to ask one by one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_leader_that_is_not_sampled_there_is_a_load_to_link_to() {
    let collector = Collector::start().await;
    let endpoint = collector.url();
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (service, lock) = service_behind_a_lock(&settings).await;
    let (leader, followers, ()) = tokio::join!(
        async { ask(&service, 1, &unsampled()).await },
        async {
            until(&service, "db_hits_total", 1).await;
            service.callers(20, 1).await
        },
        async {
            until(&service, "cache_misses_total", 21).await;
            release(lock).await;
        }
    );
    assert!(
        leader
            .header("server-timing")
            .is_some_and(|timing| !timing.contains("traceparent"))
    );
    assert!(followers.iter().all(|answer| answer.status == 200));
    service.stop().await;

    let load = collector.the("template.load");
    assert!(load.parent.is_empty() && load.trace_id != TRACE);
    assert_eq!(load.get("stampede.flight.callers"), "21");
    assert_waits(&collector.named("template.wait"), &load, 20);
    assert_eq!(collector.named(SERVER).len(), 20);
    for name in ["SELECT templates", "EVAL"] {
        assert!(collector.the(name).is_child_of(&load), "{name}");
    }
}

#[tokio::test]
async fn of_a_load_that_nobody_sampled_waits_for_nothing_is_exported() {
    let collector = Collector::start().await;
    let service = embedded(&collector.url(), &[]).await;
    for id in 1..=3 {
        assert_eq!(ask(&service, id, &unsampled()).await.status, 200);
    }
    assert_eq!(ask(&service, 1, &sampled()).await.status, 200);
    service.stop().await;
    let spans = collector.spans();
    assert_eq!(spans.len(), 1, "{spans:#?}");
    assert_eq!(spans[0].get("stampede.source"), "hit");
}

#[tokio::test]
async fn a_load_outlives_the_span_of_a_leader_that_hangs_up_and_a_follower_that_does_has_its_link()
{
    let collector = Collector::start().await;
    let endpoint = collector.url();
    let settings = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let (service, lock) = service_behind_a_lock(&settings).await;
    let hung_up = "http_request_total{path=\"/template-details\",method=\"GET\",status=\"499\"}";
    let leader = caller(&service).await;
    until(&service, "db_hits_total", 1).await;
    let follower = caller(&service).await;
    until(&service, "cache_misses_total", 2).await;
    let (answers, ()) = tokio::join!(service.callers(5, 1), async {
        until(&service, "cache_misses_total", 7).await;
        drop((leader, follower));
        until(&service, hung_up, 2).await;
        release(lock).await;
    });
    assert!(answers.iter().all(|answer| answer.status == 200));
    service.stop().await;

    let load = collector.the("template.load");
    let requests = collector.named(SERVER);
    let leader = requests
        .iter()
        .find(|request| load.is_child_of(request))
        .unwrap();
    assert!(leader.end < load.end && leader.is_error);
    assert_eq!(leader.get("error.type"), "cancelled");
    assert!(collector.the("SELECT templates").is_within(&load));
    let waits = collector.named("template.wait");
    assert_waits(&waits, &load, 6);
    let left: Vec<_> = waits.iter().filter(|wait| wait.is_error).collect();
    assert_eq!(left.len(), 1);
    assert!(left[0].end < load.end && left[0].get("error.type") == "cancelled");
}

#[tokio::test]
async fn a_refresh_is_a_trace_of_its_own_with_a_link_to_the_answer_behind_which_it_runs() {
    let collector = Collector::start().await;
    let settings = [
        ("CACHE_TTL", "50ms"),
        ("CACHE_TTL_JITTER", "0%"),
        ("STALE_WHILE_REVALIDATE", "60s"),
    ];
    let service = embedded(&collector.url(), &settings).await;
    ask(&service, 1, &unsampled()).await;
    eventually("an answer is stale", async || {
        let answer = ask(&service, 1, &sampled()).await;
        answer
            .header("cache-status")
            .is_some_and(|status| status.contains("stale"))
    })
    .await;
    service.stop().await;

    let load = collector.the("template.load");
    assert!(load.parent.is_empty() && load.trace_id != TRACE);
    assert_eq!(load.get("stampede.refresh.reason"), "stale");
    let requests = collector.named(SERVER);
    let cause = requests
        .iter()
        .find(|request| load.links == [request.as_link()]);
    assert_eq!(cause.unwrap().get("stampede.source"), "stale");
    assert!(collector.the("SELECT templates").is_child_of(&load));
}

#[tokio::test]
async fn a_valid_context_is_continued_and_an_invalid_one_is_ignored() {
    let collector = Collector::start().await;
    let service = embedded(&collector.url(), &[]).await;
    let context = [("traceparent", &*sampled()), ("tracestate", "a=1,b=2")];
    let path = "/template-details?id=1";
    let answer = service.request("GET", path, &context).await;
    let invalid = [("traceparent", "00-0-0-01"), ("tracestate", "a=1")];
    let other = service.request("HEAD", path, &invalid).await;
    service.stop().await;

    let request = collector.the(SERVER);
    assert_eq!((&*request.trace_id, &*request.parent), (TRACE, CALLER));
    assert_eq!(request.state, "a=1,b=2");
    assert_eq!(collector.the("template.load").state, "a=1,b=2");
    let new = collector.the("HEAD /template-details");
    assert!(new.trace_id != TRACE && new.parent.is_empty() && new.state.is_empty());
    for (answer, span) in [(answer, request), (other, new)] {
        let told = format!("traceparent;desc=\"00-{}-{}-01\"", span.trace_id, span.id);
        let timings = answer.headers.get_all("server-timing").iter();
        assert!(timings.into_iter().any(|timing| *timing == *told), "{told}");
    }
}

#[tokio::test]
async fn the_sampler_decides_for_callers_who_do_not() {
    for (sampler, argument, expected) in [
        ("parentbased_always_off", "", 1),
        ("parentbased_traceidratio", "1.0", 3),
        ("traceidratio", "0", 0),
        ("always_on", "", 4),
    ] {
        let collector = Collector::start().await;
        let settings = [
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ];
        let service = embedded(&collector.url(), &settings).await;
        for traceparent in [&*sampled(), &*unsampled(), "", "nonsense"] {
            ask(&service, 1, traceparent).await;
        }
        service.stop().await;
        assert_eq!(collector.named(SERVER).len(), expected, "{sampler}");
    }
}

#[tokio::test]
async fn a_refusal_says_its_status_and_other_routes_have_no_spans() {
    let collector = Collector::start().await;
    let endpoint = collector.url();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("MAX_IN_FLIGHT", "1"),
    ];
    let (service, lock) = service_behind_a_lock(&settings).await;
    for path in ["/metrics", "/healthz", "/readyz", "/", "/nowhere"] {
        service.get(path).await;
    }
    let (_, shed) = tokio::join!(service.template(1), async {
        until(&service, "db_hits_total", 1).await;
        let shed = service.template(1).await;
        release(lock).await;
        shed
    });
    assert_eq!(shed.status, 503);
    service.get("/template-details?id=x").await;
    service.stop().await;

    let requests = collector.named(SERVER);
    assert_eq!(requests.len(), 3);
    let with = |status: &str| {
        let mut requests = requests.iter();
        let found = requests.find(|request| request.get("http.response.status_code") == status);
        found.unwrap().clone()
    };
    let (shed, wrong) = (with("503"), with("400"));
    assert_eq!((shed.is_error, shed.get("stampede.source")), (true, "shed"));
    assert_eq!(
        (wrong.is_error, wrong.get("stampede.source")),
        (false, "error")
    );
}

#[tokio::test]
async fn a_change_shows_its_statement_and_other_replicas_show_its_notice() {
    let collector = Collector::start().await;
    let (database, cache) = (
        postgres::shared().await.database().await,
        redis::shared().await.database(),
    );
    let endpoint = collector.url();
    let settings = |name| {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_SERVICE_NAME", name),
            ("DATABASE_URL", database.as_str()),
            ("REDIS_URL", cache.as_str()),
            ("ADMIN_TOKEN", TOKEN),
        ]
    };
    let (writer, other) = (
        Service::start(&settings("writer")).await,
        Service::start(&settings("other")).await,
    );
    for service in [&writer, &other] {
        service.until_ready_says(ALL_WELL).await;
        eventually("changes are heard", async || {
            service.scrape().await.value("change_listener_up") == 1.0
        })
        .await;
    }
    let body = r#"{"name":"New"}"#;
    let answer = change(
        &writer,
        "PUT",
        "id=1",
        body,
        &[("traceparent", &*sampled())],
    )
    .await;
    assert_eq!(answer.status, 200);
    // The writer may hear of its own change before the database has answered it, and then shows a notice as well.
    let others_notices = || {
        let mut notices = collector.named("template.notice");
        notices.retain(|notice| notice.resource("service.name") == "other");
        notices
    };
    eventually("the other replica's notice has come", async || {
        !others_notices().is_empty()
    })
    .await;
    writer.stop().await;
    other.stop().await;

    let request = collector.the("PUT /template-details");
    assert_eq!((&*request.trace_id, &*request.parent), (TRACE, CALLER));
    let statement = collector.the("UPDATE templates");
    assert!(statement.is_child_of(&request) && statement.is_within(&request));
    assert_eq!(statement.get("db.system.name"), "postgresql");
    let notices = others_notices();
    let [notice] = &notices[..] else {
        panic!("{notices:#?}");
    };
    assert!(notice.parent.is_empty());
    let fills = collector.named("EVAL");
    let of = |parent: &Span| fills.iter().filter(|fill| fill.is_child_of(parent)).count();
    assert_eq!((of(&request), of(notice)), (1, 1));
}

#[tokio::test]
async fn a_change_that_redis_is_told_later_is_linked_to() {
    let collector = Collector::start().await;
    let (server, database) = (redis::Redis::start().await, postgres::shared().await);
    let (proxy, database) = (Proxy::to(server.port()).await, database.database().await);
    let service = embedded(
        &collector.url(),
        &[
            ("DATABASE_URL", &*database),
            ("REDIS_URL", &proxy.url(&server.url())),
            ("ADMIN_TOKEN", TOKEN),
        ],
    )
    .await;
    service.until_ready_says(ALL_WELL).await;
    proxy.set(Mode::Refuse).await;
    service
        .until_ready_says("database: ok\ncache: down\n")
        .await;
    let body = r#"{"name":"New"}"#;
    assert_eq!(change(&service, "PUT", "id=1", body, &[]).await.status, 200);
    proxy.set(Mode::Pass).await;
    service.until_ready_says(ALL_WELL).await;
    service.stop().await;

    let (request, replay) = (
        collector.the("PUT /template-details"),
        collector.the("template.replay"),
    );
    assert!(replay.parent.is_empty() && replay.start >= request.end);
    assert_eq!(replay.links, [request.as_link()]);
}

#[tokio::test]
async fn the_log_lines_of_a_request_and_of_its_load_have_the_ids_of_their_spans() {
    let collector = Collector::start().await;
    let endpoint = collector.url();
    let mut process = Process::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("ACCESS_LOG", "true"),
        ("LOG_FORMAT", "json"),
    ])
    .await;
    let url = format!("{}/template-details?id=1", process.url);
    http::request("GET", &url, &[("traceparent", &sampled())]).await;
    http::request("GET", &url, &[("traceparent", &unsampled())]).await;
    process.signal("TERM");
    assert!(process.ended().await.success());

    let request = collector.the(SERVER);
    let log = process.log();
    let lines = log.lines().filter(|line| line.contains("\"answered\""));
    let lines: Vec<serde_json::Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["path"] == "/template-details")
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert_eq!(lines[0]["span"]["trace_id"], TRACE);
    assert_eq!(lines[0]["span"]["span_id"], *request.id);
    assert!(lines[1]["span"].is_null());
}

#[tokio::test]
async fn the_collector_is_told_who_sends_in_headers_and_attributes() {
    let collector = Collector::start().await;
    let endpoint = format!("{}/v1/traces", collector.url());
    let settings = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20me"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=a,deployment.environment.name=test",
        ),
        ("OTEL_SERVICE_NAME", "b"),
    ];
    let service = embedded("http://127.0.0.1:1", &settings).await;
    service.template(1).await;
    service.stop().await;
    let span = collector.the(SERVER);
    assert_eq!(span.resource("service.name"), "b");
    assert_eq!(span.resource("deployment.environment.name"), "test");
    assert_eq!(
        collector.header("authorization").as_deref(),
        Some("Bearer me")
    );
}

/// More spans than can queue and travel, by more than a silent collector can lose within the backstop.
const TOO_MANY: usize = 8 * 1024 + 2 * 512 + 4_000;

/// So many requests are answered, and at least so many spans are dropped and counted.
async fn assert_is_not_waited_for(endpoint: &str, requests: usize, least: usize) {
    let service = embedded(endpoint, &[("SHUTDOWN_GRACE", "100ms")]).await;
    let url = service.url("/template-details?id=1");
    let ask_in_turn = |_| {
        let (client, url) = (Client::new(), url.clone());
        tokio::spawn(async move {
            for _ in 0..requests / 8 {
                assert_eq!(client.get(&url).await.status, 200);
            }
        })
    };
    let asking: Vec<_> = (0..8).map(ask_in_turn).collect();
    for asked in asking {
        asked.await.unwrap();
    }
    eventually("the spans that were dropped are counted", async || {
        service.scrape().await.value("trace_spans_dropped_total") >= least as f64
    })
    .await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_collector_that_refuses() {
    let collector = Collector::start().await;
    let proxy = Proxy::to(collector.port()).await;
    proxy.set(Mode::Refuse).await;
    assert_is_not_waited_for(&proxy.url(&collector.url()), 400, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_collector_that_is_silent() {
    let collector = Collector::start().await;
    let proxy = Proxy::to(collector.port()).await;
    proxy.set(Mode::Swallow).await;
    assert_is_not_waited_for(&proxy.url(&collector.url()), TOO_MANY, 4_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_collector_that_is_slow() {
    let collector = Collector::start().await;
    let proxy = Proxy::to(collector.port()).await;
    proxy.set(Mode::Delay(Duration::from_secs(60))).await;
    assert_is_not_waited_for(&proxy.url(&collector.url()), 400, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_collector_that_answers_with_garbage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(&[0xff; 100 * 1024]).await;
        }
    });
    assert_is_not_waited_for(&endpoint, 400, 400).await;
}

/// On one thread, which the exporter must not keep for the pause that it is asked for.
#[tokio::test]
async fn nobody_waits_for_a_collector_that_asks_to_come_back_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let later =
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(later.as_bytes()).await;
            let _ = told.send(());
        }
    });
    let service = embedded(&endpoint, &[("SHUTDOWN_GRACE", "100ms")]).await;
    assert_eq!(service.template(1).await.status, 200);
    asked.recv().await.unwrap();
    let mut answers = 0;
    while asked.try_recv().is_err() {
        assert_eq!(service.template(1).await.status, 200);
        answers += 1;
    }
    assert!(answers > 10, "{answers} until it was asked again");
    service.stop().await;
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_told() {
    let service = Service::start(&[("DB_DELAY", "0ms")]).await;
    let answer = ask(&service, 1, &sampled()).await;
    let timings: Vec<_> = answer.headers.get_all("server-timing").iter().collect();
    assert_eq!(timings.len(), 1);
    assert_eq!(
        service.scrape().await.value("trace_spans_dropped_total"),
        0.0
    );
}
