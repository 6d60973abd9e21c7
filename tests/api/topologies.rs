//! A cluster, and a master that sentinels name: as one server, as long as it lasts, and what is seen when a part of it is
//! lost.

use redis::Value;
use testkit::http::Answer;
use testkit::{RedisCluster, RedisSentinel, Service, eventually, postgres};

/// A busy machine may keep a healthy Redis from answering within the default.
const PATIENT: &str = "250ms";

const ALL_WELL: &str = "database: ok\ncache: ok\n";
const NO_CACHE: &str = "database: ok\ncache: down\n";

async fn service(cache: &str) -> Service {
    let database = postgres::shared().await.database().await;
    service_with(&[("DATABASE_URL", &database), ("REDIS_URL", cache)]).await
}

async fn service_with(settings: &[(&str, &str)]) -> Service {
    let mut all = vec![
        ("REDIS_TIMEOUT", PATIENT),
        ("CACHE_TTL", "10m"),
        ("ADMIN_TOKEN", "opensesame"),
    ];
    all.extend(settings);
    let service = Service::start(&all).await;
    service.until_ready_says(ALL_WELL).await;
    service
}

/// Some templates of each node.
async fn templates_by_node(cluster: &RedisCluster) -> [Vec<i64>; 3] {
    let mut by_node = [const { Vec::new() }; 3];
    for id in 1..=100 {
        let templates: &mut Vec<_> = &mut by_node[cluster.owner(&format!("td:v1:{id}")).await];
        if templates.len() < 8 {
            templates.push(id);
        }
    }
    by_node
}

/// All of them, each after one of another node.
fn in_turn(by_node: &[Vec<i64>; 3]) -> Vec<i64> {
    let turn = |index: usize| by_node.each_ref().map(|templates| templates[index]);
    (0..8).flat_map(turn).collect()
}

fn in_turn_without_last(by_node: &[Vec<i64>; 3]) -> Vec<i64> {
    let last = &by_node[2];
    let mut rest = in_turn(by_node);
    rest.retain(|id| !last.contains(id));
    rest
}

fn cache_status(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("cache-status").unwrap()
}

/// Whether Redis itself had it.
fn is_hit(answer: &Answer) -> bool {
    let status = cache_status(answer);
    status.contains("; hit; ttl=") && !status.contains("detail=")
}

/// Asks for all of them, all of which must be answered, and says whether Redis had every one.
async fn are_hits(service: &Service, templates: &[i64]) -> bool {
    let mut hits = 0;
    for id in templates {
        hits += usize::from(is_hit(&service.template(*id).await));
    }
    hits == templates.len()
}

/// Waits until Redis has had all of them many times in a row.
async fn until_hits_last(what: &str, service: &Service, templates: &[i64]) {
    let mut in_a_row = 0;
    eventually(what, async || {
        in_a_row = if are_hits(service, templates).await {
            in_a_row + 1
        } else {
            0
        };
        in_a_row == 20
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_of_a_cluster_answers_for_its_own_templates() {
    let cluster = RedisCluster::start().await;
    let service = service(&cluster.url()).await;
    for (node, templates) in templates_by_node(&cluster).await.iter().enumerate() {
        assert_eq!(templates.len(), 8);
        for id in templates {
            let before = service.scrape().await;
            let (first, second) = (service.template(*id).await, service.template(*id).await);
            assert_eq!(cache_status(&first), "stampede; fwd=miss; stored");
            assert!(is_hit(&second), "{second:?}");
            let grown = &service.scrape().await - &before;
            assert_eq!(grown.value("db_hits_total"), 1.0);
            let key = format!("td:v1:{id}");
            let stored = cluster.node(node).cli(&["EXISTS", &key]).await;
            assert_eq!(stored, Value::Int(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_found_while_it_moves_to_another_node_and_afterwards() {
    let cluster = RedisCluster::start().await;
    let service = service(&cluster.url()).await;
    let moved = templates_by_node(&cluster).await[0][0];
    let key = format!("td:v1:{moved}");
    let slot = cluster.slot(&key).await.to_string();
    let [from, to] = [cluster.id(0).await, cluster.id(1).await];
    let set = async |node: usize, state: &str, id: &str| {
        let command = ["CLUSTER", "SETSLOT", &slot, state, id];
        cluster.node(node).cli(&command).await;
    };
    set(1, "IMPORTING", &from).await;
    set(0, "MIGRATING", &to).await;
    let stored = service.template(moved).await;
    assert_eq!(cache_status(&stored), "stampede; fwd=miss; stored");
    assert!(is_hit(&service.template(moved).await));
    for node in [1, 0, 2] {
        set(node, "NODE", &to).await;
    }
    assert!(is_hit(&service.template(moved).await));
    let found = cluster.node(1).cli(&["EXISTS", &key]).await;
    assert_eq!(found, Value::Int(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_of_a_cluster_costs_the_hits_of_its_own_templates_only() {
    let cluster = RedisCluster::start().await;
    let service = service(&cluster.url()).await;
    let by_node = templates_by_node(&cluster).await;
    let all = in_turn(&by_node);
    are_hits(&service, &all).await;
    until_hits_last("every template is stored", &service, &all).await;

    cluster.node(2).kill().await;
    the_others_are_hits(&service, &by_node).await;
    // What its node cannot be told costs the others nothing.
    let changed = by_node[2][0];
    assert_eq!(write(&service, changed, "Changed").await.status, 200);
    the_others_are_hits(&service, &by_node).await;
    assert_eq!(service.template(changed).await.json()["name"], "Changed");
    assert_eq!(service.scrape().await.value("cache_up"), 1.0);

    cluster.node(2).start_again().await;
    until_hits_last("the node has its templates again", &service, &all).await;
    assert_eq!(service.template(changed).await.json()["name"], "Changed");
    let replayed = "invalidations_total{origin=\"replayed\"}";
    assert!(service.scrape().await.value(replayed) >= 1.0);
}

/// Waits until the templates of all nodes but the last are hits for a while, those of the last come from the local copy, and
/// the database is not asked.
async fn the_others_are_hits(service: &Service, by_node: &[Vec<i64>; 3]) {
    let all = in_turn(by_node);
    let (mut in_a_row, mut before) = (0, service.scrape().await);
    eventually("the others answer as if nothing had happened", async || {
        let mut hits = Vec::new();
        for id in &all {
            if is_hit(&service.template(*id).await) {
                hits.push(*id);
            }
        }
        in_a_row += 1;
        if hits != in_turn_without_last(by_node) {
            (in_a_row, before) = (0, service.scrape().await);
        }
        in_a_row == 20
    })
    .await;
    let grown = &service.scrape().await - &before;
    let of_one_node = 20.0 * 8.0;
    for (source, expected) in [("hit", 2.0), ("local", 1.0), ("loaded", 0.0)] {
        let series = format!("template_responses_total{{source=\"{source}\"}}");
        assert_eq!(grown.value(&series), expected * of_one_node, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_not_undone_by_a_node_that_slept_through_it() {
    let cluster = RedisCluster::start().await;
    let database = postgres::shared().await.database().await;
    let service = service_with(&[
        ("DATABASE_URL", &database),
        ("REDIS_URL", &cluster.url()),
        // They would not be undone either.
        ("LOCAL_ENTRIES", "0"),
    ])
    .await;
    let by_node = templates_by_node(&cluster).await;
    let all = by_node.concat();
    let changed = by_node[2][0];
    are_hits(&service, &all).await;
    until_hits_last("every template is stored", &service, &all).await;

    cluster.node(2).freeze().await;
    // Until then, what is sent to it would only wait for it to wake up.
    eventually("its connection is given up", async || {
        are_hits(&service, &all).await;
        service.get("/readyz").await.text() != ALL_WELL
    })
    .await;
    let written = write(&service, changed, "Changed").await;
    assert_eq!(written.status, 200);
    // The others are not kept waiting for the one that cannot be told.
    service.until_ready_says(ALL_WELL).await;
    let is_new = async || service.template(changed).await.json()["name"] == "Changed";
    for _ in 0..20 {
        assert!(is_new().await);
    }
    cluster.node(2).thaw().await;
    let mut in_a_row = 0;
    eventually("all is well for a while", async || {
        assert!(is_new().await);
        in_a_row = if are_hits(&service, &all).await {
            in_a_row + 1
        } else {
            0
        };
        in_a_row == 20
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_takes_the_place_of_a_node_that_does_not_answer() {
    let mut cluster = RedisCluster::start().await;
    let replica = cluster.add_replica_of(2).await;
    let service = service(&cluster.url()).await;
    let all = in_turn(&templates_by_node(&cluster).await);
    are_hits(&service, &all).await;
    until_hits_last("every template is stored", &service, &all).await;

    cluster.node(2).freeze().await;
    until_hits_last("the replica answers", &service, &all).await;
    let role = cluster.node(replica).cli(&["ROLE"]).await;
    assert!(format!("{role:?}").contains("master"), "{role:?}");
    cluster.node(2).thaw().await;
    until_hits_last("nobody minds its return", &service, &all).await;
}

async fn write(service: &Service, id: i64, name: &str) -> Answer {
    let request = hyper::Request::put(service.url(&format!("/template-details?id={id}")))
        .header("authorization", "Bearer opensesame")
        .body(format!("{{\"name\": \"{name}\"}}").into_bytes().into());
    let client = testkit::http::Client::new();
    client.send(request.unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_down_when_a_cluster_is_gone_and_comes_back_with_it() {
    let cluster = RedisCluster::start().await;
    let service = service(&cluster.url()).await;
    let by_node = templates_by_node(&cluster).await;
    let all = by_node.concat();
    are_hits(&service, &all).await;
    for node in 0..3 {
        cluster.node(node).kill().await;
    }
    service.until_ready_says(NO_CACHE).await;
    let before = service.scrape().await;
    assert!(!are_hits(&service, &all).await);
    let grown = &service.scrape().await - &before;
    assert_eq!(
        grown.value("template_responses_total{source=\"local\"}"),
        all.len() as f64
    );
    for node in 0..3 {
        cluster.node(node).start_again().await;
    }
    until_hits_last("all of it is back", &service, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_refuses_every_query_because_it_is_not_whole_is_down() {
    let cluster = RedisCluster::start().await;
    for node in 0..3 {
        let whole_only = ["CONFIG", "SET", "cluster-require-full-coverage", "yes"];
        cluster.node(node).cli(&whole_only).await;
    }
    let service = service(&cluster.url()).await;
    let all = in_turn(&templates_by_node(&cluster).await);
    are_hits(&service, &all).await;
    cluster.node(2).kill().await;
    // For so long that no flicker of the nodes' agreement can be meant.
    let mut in_a_row = 0;
    eventually("the cache is down, and stays so", async || {
        are_hits(&service, &all).await;
        let is_down = service.get("/readyz").await.text() == NO_CACHE;
        in_a_row = if is_down { in_a_row + 1 } else { 0 };
        in_a_row == 20
    })
    .await;
    cluster.node(2).start_again().await;
    until_hits_last("it is whole again", &service, &all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_share_a_cluster_take_turns_and_hear_of_it_at_any_node() {
    let cluster = RedisCluster::start().await;
    let (database, cache) = (postgres::shared().await.database().await, cluster.url());
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &cache),
        ("FLEET_LEASE", "true"),
    ];
    let (one, other) = (service_with(&settings).await, service_with(&settings).await);
    let listen_at = async |nodes: std::ops::Range<usize>| {
        eventually("both listen", async || {
            let mut listeners = 0;
            for node in nodes.clone() {
                let ask = ["PUBSUB", "NUMSUB", "td:v1:given-back"];
                let (_, number): (String, u32) =
                    redis::from_redis_value(cluster.node(node).cli(&ask).await).unwrap();
                listeners += number;
            }
            listeners == 2
        })
        .await;
    };
    listen_at(0..3).await;
    for templates in templates_by_node(&cluster).await {
        let id = templates[0];
        // Neither is answered before both have asked.
        let mut lock = postgres::session(&database).await;
        let begin = sqlx::raw_sql("BEGIN; LOCK TABLE templates");
        begin.execute(&mut lock).await.unwrap();
        let (one_s, others, ()) = tokio::join!(one.template(id), other.template(id), async {
            for service in [&one, &other] {
                eventually("it loads, or waits for the other one", async || {
                    service.scrape().await.value("singleflight_in_flight") == 1.0
                })
                .await;
            }
            let end = sqlx::raw_sql("ROLLBACK");
            end.execute(&mut lock).await.unwrap();
        });
        assert_eq!((one_s.status, others.status), (200, 200));
    }
    for (series, expected) in [
        ("db_hits_total", 3.0),
        ("lease_total{outcome=\"won\"}", 3.0),
        ("lease_total{outcome=\"waited\"}", 3.0),
    ] {
        let sum = one.scrape().await.value(series) + other.scrape().await.value(series);
        assert_eq!(sum, expected, "{series}");
    }
    cluster.node(0).kill().await;
    listen_at(1..3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_master_takes_the_place_of_the_lost_one() {
    let sentinel = RedisSentinel::start().await;
    let service = service(&sentinel.url()).await;
    let templates: Vec<_> = (1..=20).collect();
    are_hits(&service, &templates).await;
    assert!(are_hits(&service, &templates).await);

    sentinel.first().kill().await;
    service.until_ready_says(NO_CACHE).await;
    until_hits_last("the new master answers", &service, &templates).await;
    // One that nobody has asked for yet.
    assert_eq!(
        cache_status(&service.template(90).await),
        "stampede; fwd=miss; stored"
    );
    assert!(is_hit(&service.template(90).await));
    let stored = sentinel.second().cli(&["EXISTS", "td:v1:90"]).await;
    assert_eq!(stored, Value::Int(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_has_become_a_replica_is_given_up() {
    let sentinel = RedisSentinel::start().await;
    let service = service(&sentinel.url()).await;
    let templates: Vec<_> = (1..=20).collect();
    are_hits(&service, &templates).await;

    sentinel.fail_over().await;
    let port = sentinel.second().port().to_string();
    eventually("the other one is the master", async || {
        are_hits(&service, &templates).await;
        let address = sentinel
            .ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "templates"])
            .await;
        format!("{address:?}").contains(&port)
    })
    .await;
    // What the sentinel would do some seconds later, except that it would close the connections as well.
    sentinel
        .first()
        .cli(&["REPLICAOF", "127.0.0.1", &port])
        .await;
    eventually("fills succeed at the new master", async || {
        service.template(90).await;
        sentinel.second().cli(&["EXISTS", "td:v1:90"]).await == Value::Int(1)
    })
    .await;
    until_hits_last("it answers", &service, &templates).await;
}
