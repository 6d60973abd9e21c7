//! Writing to Redis without ever replacing a newer state by an older one: compared and written in one step, by Redis.

use redis::{Cmd, RedisWrite as _};

use super::payload;
use crate::freshness::{Content, Entry, Moment, Rules};
use crate::template::TemplateId;

/// Its arguments are the payload, its version, its life in milliseconds, and whether it yields to the same version. It
/// writes unless what is there is of a later version, or of the same one that it yields to. Versions are compared as text,
/// by length first: they may be too large for Lua's numbers.
const WRITE: &str = "\
local held = redis.pcall('GET', KEYS[1])
local version = type(held) == 'string' and string.match(held, '^td1 %x+ %d+ (%d+) ')
if version then
  local mine = ARGV[2]
  if #version > #mine or (#version == #mine and version > mine) or (ARGV[4] == '1' and version == mine) then
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return 1";

/// The command that stores an entry; its reply is 1 if it did, and 0 if something newer is there.
pub(super) fn write(id: TemplateId, entry: &Entry, rules: &Rules) -> Cmd {
    let left = rules.kept_in_redis_for(entry, Moment::now()).as_millis();
    // That something has changed to a version says less than that version itself.
    let yields_to_same = if entry.content == Content::Tombstone {
        "1"
    } else {
        "0"
    };
    let mut command = Cmd::with_capacity(8, 1024);
    command.arg("EVAL").arg(WRITE).arg(1).arg(key(id));
    command
        .arg(payload::encode(id, entry))
        .arg(entry.version)
        .arg(left as u64)
        .arg(yields_to_same);
    command
}

/// The command that asks for one entry, or for several.
pub(super) fn read(ids: &[TemplateId]) -> Cmd {
    let mut command = Cmd::with_capacity(1 + ids.len(), 8 + 16 * ids.len());
    command.arg(if ids.len() == 1 { "GET" } else { "MGET" });
    for id in ids {
        // Written where it is sent from: this is what every request comes by.
        command.write_arg_fmt(format_args!("{PREFIX}{id}"));
    }
    command
}

/// The command that removes whatever is there.
pub(super) fn remove(id: TemplateId) -> Cmd {
    let mut command = Cmd::with_capacity(2, 32);
    command.arg("DEL").arg(key(id));
    command
}

/// Where an entry is.
pub(super) fn key(id: TemplateId) -> String {
    format!("{PREFIX}{id}")
}

const PREFIX: &str = "td:v1:";
