//! [`Lease`]: the right to load a template, given to one replica at a time, so that the fleet makes one query and not one
//! each.
//!
//! A lease is a key in Redis with a token of its holder's replica. It is short, so that a holder that dies costs no more than
//! that, and renewed while the holder lives. It saves queries and promises nothing: two replicas that load the same
//! template at the same time are merely one query too many, and what each of them may store is decided by
//! [`super::fence`].

use std::convert::Infallible;
use std::sync::Arc;

use redis::{Cmd, Value};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::reads::Held;
use super::slot::{Failure, Slot};
use super::{fence, payload};
use crate::freshness::Entry;
use crate::template::TemplateId;

/// Who loads a template.
#[derive(Debug)]
pub enum Turn<E> {
    /// The one who asked. The lease, if there is one, is given back when it is dropped.
    Ours(Option<Lease>),
    /// Another replica has loaded it.
    Theirs(E),
}

/// Held until it is dropped, or its process dies.
#[derive(Debug)]
pub struct Lease {
    _held: oneshot::Sender<Infallible>,
}

/// What came of a claim: the lease, if nobody else holds it, and in any case what is cached.
pub(super) struct Claimed {
    pub(super) lease: Option<Lease>,
    pub(super) cached: Option<Entry>,
}

/// The channel on which holders tell that they have given a lease back; the message is the template's id.
pub(super) const GIVEN_BACK: &str = "td:v1:given-back";

/// How long it lasts, in longest calls to Redis: what a holder's death costs the others, and enough for a slow Redis not
/// to take it from a living one.
const LENGTH: u32 = 10;

/// When it is renewed: early enough for one renewal to be lost.
const RENEWAL: u32 = 4;

/// Takes the lease if nobody else has it, and says what is cached, in one step: who gets the lease just after a holder
/// has given it back must see what that one stored. A lease of the same replica's is taken over: its load was forgotten,
/// or its reply was lost.
const CLAIM: &str = "\
local won = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[2]) == ARGV[1]
local held = redis.pcall('GET', KEYS[1])
return {won and 1 or 0, type(held) == 'string' and held}";

const RENEW: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end";

const GIVE_BACK: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])";

/// What tells this replica from the others.
pub(super) fn token() -> Arc<str> {
    format!("{:032x}", fastrand::u128(..)).into()
}

/// Asks for the lease of a template.
pub(super) async fn claim(
    slot: &Arc<Slot>,
    id: TemplateId,
    token: &Arc<str>,
) -> Result<Claimed, Failure> {
    if slot.owes(id) {
        return Err(Failure::Unavailable);
    }
    let mut command = redis::cmd("EVAL");
    command
        .arg(CLAIM)
        .arg(2)
        .arg(fence::key(id))
        .arg(key(id))
        .arg(&**token)
        .arg(length(slot));
    let reply = slot.call(&command).await?;
    let Value::Array(reply) = reply else {
        return Ok(Claimed {
            lease: None,
            cached: None,
        });
    };
    let won = reply.first() == Some(&Value::Int(1));
    let cached = reply.into_iter().nth(1).and_then(|cached| match cached {
        Value::BulkString(bytes) => payload::decode(id, bytes.into()),
        _ => None,
    });
    Ok(Claimed {
        lease: won.then(|| Lease::keep(Arc::clone(slot), id, Arc::clone(token))),
        cached,
    })
}

/// What is cached at the moment.
pub(super) async fn look(slot: &Slot, id: TemplateId) -> Result<Option<Entry>, Failure> {
    Ok(match slot.read(id, Instant::now()).await? {
        Held::Entry(entry) => Some(entry),
        Held::Nothing | Held::Foreign => None,
    })
}

impl Lease {
    /// Renews the lease that this token stands for until it is dropped, then gives it back.
    fn keep(slot: Arc<Slot>, id: TemplateId, token: Arc<str>) -> Self {
        let (held, mut dropped) = oneshot::channel();
        let (renewal, length) = (slot.timeout() * RENEWAL, length(&slot));
        tokio::spawn(async move {
            while timeout(renewal, &mut dropped).await.is_err() {
                // A lease that could not be renewed is another's soon, which is no harm.
                let _ = slot.call(&renew(id, &token, length)).await;
            }
            // One that could not be given back ends by itself.
            let _ = slot.call(&give_back(id, &token)).await;
        });
        Self { _held: held }
    }
}

/// In milliseconds.
fn length(slot: &Slot) -> u64 {
    (slot.timeout() * LENGTH).as_millis() as u64
}

fn renew(id: TemplateId, token: &str, length: u64) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command
        .arg(RENEW)
        .arg(1)
        .arg(key(id))
        .arg(token)
        .arg(length);
    command
}

fn give_back(id: TemplateId, token: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command
        .arg(GIVE_BACK)
        .arg(1)
        .arg(key(id))
        .arg(token)
        .arg(GIVEN_BACK)
        .arg(id.to_string());
    command
}

/// The braces put it on the node of a cluster that has the template's own key, which scripts need.
fn key(id: TemplateId) -> String {
    format!("td:lease:{{{}}}", fence::key(id))
}
