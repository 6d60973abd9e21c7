//! Several processes of the service on one PostgreSQL or MariaDB and one Redis: what callers see through all of them, while
//! templates change all the time, through every process and in SQL, and Redis comes and goes.
//!
//! ```text
//! cargo build --release -p stampede -p chaos
//! cargo run --release -p chaos -- replicas --operations 100000 --seed 7 --with EARLY_REFRESH=1
//! cargo run --release -p chaos -- replicas --operations 100000 --database mysql
//! ```
//!
//! Whatever the callers do is kept in a journal, and triggers in the database note every state that there really was
//! ([`audit`]). When all is over the [`mod@judge`] compares the two. "Before" means that one operation had ended when the
//! other began.
//!
//! 1. **Never back.** A replica that has shown a version of a template shows none older than it afterwards.
//! 2. **Own writes.** When a write has returned on a replica, that replica shows nothing older than it afterwards.
//! 3. **Not too old.** A version that was committed longer ago than the longest life of an entry (`CACHE_TTL` or
//!    `NEGATIVE_TTL`, and `STALE_WHILE_REVALIDATE`) and a second is the oldest that any replica shows.
//! 4. **Whole.** An answer for a template is one of that template, and its name, its version and its tag are those of
//!    one state that there was. A writer is told the version that its state has.
//!
//! That there is no such template is a state like the others, with a version that the answer does not say: whichever of
//! them favours the service is taken. A write whose outcome is open promises nothing, until its state is seen.
//!
//! All four hold also for a replica that the database's notices do not reach: it is told by the time only, which is what
//! rule 3 allows, and what it has shown it knows by itself. They hold for answers that are marked as stale too, but for
//! rules 1 and 3 if `STALE_FOR` lets those be of any age. They need the copies in the process: with `LOCAL_ENTRIES=0` a
//! replica does not know what it has shown, and Redis may have forgotten.

mod audit;
mod caller;
mod clock;
mod database;
mod fleet;
mod judge;
mod operation;
mod options;
mod report;
mod rule;
mod saboteur;
mod sql;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub(crate) use options::ReplicasOptions;

use self::caller::{CALLERS, Caller, HOT, Scene};
use self::clock::Clock;
use self::fleet::Fleet;
use self::judge::Judge;
use self::operation::{Operation, What};
use self::saboteur::Saboteur;
use self::verdict::Verdict;
use crate::history::History;
use crate::tally::Tally;
use testkit::http::Client;

/// How much longer than its life an entry may be seen: it is on its way for a while.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// The whole run; returns the number of violations.
pub(crate) async fn run(options: &ReplicasOptions) -> usize {
    println!("chaos: {}", options.line());
    let fleet = Fleet::launch(options).await;
    let clock = Clock::start();
    audit::take_notes(&fleet.database_url).await;
    let (history, tally) = (Arc::new(History::new()), Arc::new(Tally::new()));
    let scene = Arc::new(Scene {
        fleet,
        clock,
        tally: Arc::clone(&tally),
        seed: options.seed,
        interval: Scene::interval(options.rate),
        left: AtomicUsize::new(options.operations),
    });
    let judge = judge(options);
    let journal = tokio::select! {
        journal = perform(&scene, &history, judge.life) => journal,
        () = crate::report::progress(&tally, &history) => unreachable!("it goes on until it is dropped"),
    };
    let (states, wrong) = audit::read_notes(&scene.fleet.database_url, clock).await;
    let verdict = Verdict::of(journal, &states, judge);
    verdict.show(&history, clock);
    wrong
        .iter()
        .for_each(|wrong| println!("VIOLATION: {wrong}"));
    let made = states.values().map(audit::States::len).sum();
    report::show(options, &scene, &history, &verdict, made).await;
    verdict.violations.len() + wrong.len()
}

fn judge(options: &ReplicasOptions) -> Judge {
    let [ttl, negative_ttl, overtime, stale_for] = [
        "CACHE_TTL",
        "NEGATIVE_TTL",
        "STALE_WHILE_REVALIDATE",
        "STALE_FOR",
    ]
    .map(|name| options.duration(name));
    Judge {
        life: ttl.max(negative_ttl) + overtime + ON_ITS_WAY,
        stale_may_be_older: !stale_for.is_zero(),
    }
}

/// Everything that is done, in no particular order. At the end, when all is mended and the longest life is over, every
/// replica is asked for everything once more.
async fn perform(scene: &Arc<Scene>, history: &Arc<History>, life: Duration) -> Vec<Operation> {
    let mut random = Rng::with_seed(scene.seed);
    let client = Client::new();
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let caller = Caller::new(Arc::clone(scene), number, client.clone(), random.fork());
        callers.spawn(caller.work());
    }
    let stop = AtomicBool::new(false);
    let calling = async {
        let journals = callers.join_all().await;
        stop.store(true, Ordering::Relaxed);
        journals
    };
    let saboteur = Saboteur::new(Arc::clone(scene), Arc::clone(history));
    let (journals, ()) = tokio::join!(calling, saboteur.work(&stop));
    let mut journal = journals.concat();
    sleep(life).await;
    let mut last = Caller::new(Arc::clone(scene), CALLERS, client, random.fork());
    for replica in 0..scene.fleet.replicas.len() {
        for id in 1..=HOT {
            last.read(replica, id).await;
        }
    }
    for operation in &mut last.journal {
        if operation.what == What::Refused {
            operation.what = What::Wrong("refused although all was well again".into());
        }
    }
    journal.append(&mut last.journal);
    journal
}
