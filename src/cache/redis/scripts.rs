//! The commands that Redis is sent, and the scripts that compare and store in one step.

use redis::{Cmd, RedisWrite as _};

use super::codec;
use crate::freshness::{Content, Entry, Moment, Rules};
use crate::template::TemplateId;

/// Stores an entry unless the one that is held has a higher version, or the same one and the new entry is a tombstone: the
/// rule [`replaces`](crate::freshness::replaces), decided inside Redis.
///
/// Its arguments are the payload, its version, its life in milliseconds, and 1 for a tombstone. Versions are compared as
/// text, by length first: they may be too large for Lua's numbers.
const STORE: &str = "\
local held = redis.pcall('GET', KEYS[1])
local version = type(held) == 'string' and string.match(held, '^td1 %x+ %d+ (%d+) ')
if version then
  local new = ARGV[2]
  if #version > #new or (#version == #new and version > new) or (ARGV[4] == '1' and version == new) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1";

/// Takes the lease if no other replica has it, and returns what is cached, in one step: the replica that gets the lease
/// just after it was given back must see what its holder stored. A replica takes over its own lease: its earlier load was
/// forgotten, or the reply was lost.
const CLAIM: &str = "\
local won = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[2]) == ARGV[1]
local held = redis.pcall('GET', KEYS[1])
return {won and 1 or 0, type(held) == 'string' and held}";

const RENEW: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end";

const GIVE_BACK: &str = "\
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
redis.call('PUBLISH', ARGV[2], ARGV[3])";

/// The channel on which holders announce that they have given a lease back. The message is the template's id.
pub(super) const GIVEN_BACK: &str = "td:v1:given-back";

const PREFIX: &str = "td:v1:";

/// Stores an entry. The reply is 1 if it did, and 0 if the entry is superseded.
pub(super) fn store(id: TemplateId, entry: &Entry, rules: &Rules) -> Cmd {
    let life = rules.kept_in_redis_for(entry, Moment::now()).as_millis();
    let is_tombstone = match entry.content {
        Content::Tombstone => "1",
        Content::Template(_) | Content::Absent => "0",
    };
    let mut command = Cmd::with_capacity(8, 1024);
    command.arg("EVAL").arg(STORE).arg(1).arg(key(id));
    command
        .arg(codec::encode(id, entry))
        .arg(entry.version)
        .arg(life as u64)
        .arg(is_tombstone);
    command
}

/// Asks for one entry, or for several.
pub(super) fn get(ids: &[TemplateId]) -> Cmd {
    let mut command = Cmd::with_capacity(1 + ids.len(), 8 + 16 * ids.len());
    command.arg(if ids.len() == 1 { "GET" } else { "MGET" });
    for id in ids {
        // Written into the command itself: every lookup passes here, and needs no string of its own.
        command.write_arg_fmt(format_args!("{PREFIX}{id}"));
    }
    command
}

/// Removes what is held for a template.
pub(super) fn remove(id: TemplateId) -> Cmd {
    let mut command = Cmd::with_capacity(2, 32);
    command.arg("DEL").arg(key(id));
    command
}

/// Asks for the lease. The reply is 1 or 0, and what is cached.
pub(super) fn claim(id: TemplateId, token: &str, milliseconds: u64) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command
        .arg(CLAIM)
        .arg(2)
        .arg(key(id))
        .arg(lease_key(id))
        .arg(token)
        .arg(milliseconds);
    command
}

/// Makes the lease last for this long again, if the token still holds it.
pub(super) fn renew(id: TemplateId, token: &str, milliseconds: u64) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command
        .arg(RENEW)
        .arg(1)
        .arg(lease_key(id))
        .arg(token)
        .arg(milliseconds);
    command
}

/// Gives the lease back and announces it.
pub(super) fn give_back(id: TemplateId, token: &str) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command
        .arg(GIVE_BACK)
        .arg(1)
        .arg(lease_key(id))
        .arg(token)
        .arg(GIVEN_BACK)
        .arg(id.to_string());
    command
}

fn key(id: TemplateId) -> String {
    format!("{PREFIX}{id}")
}

/// The braces put it on the node of a cluster that holds the template's own key, as scripts need.
fn lease_key(id: TemplateId) -> String {
    format!("td:lease:{{{PREFIX}{id}}}")
}
