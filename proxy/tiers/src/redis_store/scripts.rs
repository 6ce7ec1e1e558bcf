//! What Redis is asked to do at once. Numbers beyond 2^53 do not occur: times are in milliseconds, and
//! sequences in microseconds since 1970.

/// Key: the row. Answers the store's clock in milliseconds, and the row's version, times and value.
pub const ROW_GET_SCRIPT: &str = "local t = redis.call('TIME') \
local r = redis.call('HMGET', KEYS[1], 'version', 'expires', 'droppable', 'value') \
return {string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)), r[1], r[2], r[3], r[4]}";

/// Writes a row in place of the one of exactly a version. Key: the row. Arguments: that version, empty where
/// there must be no row; version, times and value. Answers the store's clock, and 1 if it did so.
pub const ROW_SWAP_SCRIPT: &str = "local t = redis.call('TIME') \
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)) \
if (redis.call('HGET', KEYS[1], 'version') or '') ~= ARGV[1] then return {now, '0'} end \
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'expires', ARGV[3], 'droppable', ARGV[4], 'value', ARGV[5]) \
redis.call('PEXPIREAT', KEYS[1], ARGV[4]) \
return {now, '1'}";

/// Moves both times of the row of exactly a version, and neither back. Key: the row. Arguments: the version
/// and the times. Answers 1 if the row is there.
pub const ROW_TOUCH_SCRIPT: &str = "local r = redis.call('HMGET', KEYS[1], 'version', 'expires', 'droppable') \
if r[1] ~= ARGV[1] then return 0 end \
if tonumber(r[2]) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'expires', ARGV[2]) end \
if tonumber(r[3]) < tonumber(ARGV[3]) then redis.call('HSET', KEYS[1], 'droppable', ARGV[3]) \
redis.call('PEXPIREAT', KEYS[1], ARGV[3]) end \
return 1";

/// Drops the row of exactly a version, if it is droppable. Key: the row. Argument: the version. Answers 1 if
/// it did so.
pub const ROW_DELETE_SCRIPT: &str = "local t = redis.call('TIME') \
local r = redis.call('HMGET', KEYS[1], 'version', 'droppable') \
if r[1] ~= ARGV[1] or tonumber(r[2]) > t[1] * 1000 + math.floor(t[2] / 1000) then return 0 end \
return redis.call('DEL', KEYS[1])";

/// A script of the feed, behind what all begin with: a log that is not there, lacks an entry or ends before
/// `after` was lost, and one that has lost everything until now takes its place. Sequences have no holes, so
/// that is seen. An `after` that no sequence can be is of somebody who asks for the end. Keys: the last
/// sequence, the log, the sequences by id, what was trimmed.
macro_rules! feed_script {
    (after $after:literal, $rest:literal) => {
        concat!(
            "local after = ", $after, " ",
            "if after > 9007199254740991 then after = 0 end \
local t = redis.call('TIME') \
local last = redis.call('GET', KEYS[1]) \
local through = redis.call('HGET', KEYS[4], 'through') \
if not last or not through or tonumber(last) < after \
or redis.call('ZCARD', KEYS[2]) ~= tonumber(last) - tonumber(through) then \
last = string.format('%.0f', math.max(t[1] * 1000000 + t[2], after + 1, tonumber(last or '0') + 1)) \
redis.call('DEL', KEYS[2], KEYS[3]) \
redis.call('SET', KEYS[1], last) \
redis.call('HSET', KEYS[4], 'through', last, 'at', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))) \
end ",
            $rest
        )
    };
}

/// Adds an entry behind all others. Arguments: the entry's id, the entry, and how many are kept. Answers its
/// sequence and a semicolon, so that a number which was cut short is none.
pub const FEED_APPEND_SCRIPT: &str = feed_script!(after "0", "local known = redis.call('HGET', KEYS[3], ARGV[1]) \
if known then return known .. ';' end \
local sequence = string.format('%.0f', tonumber(last) + 1) \
redis.call('SET', KEYS[1], sequence) \
redis.call('ZADD', KEYS[2], sequence, ARGV[2]) \
redis.call('HSET', KEYS[3], ARGV[1], sequence) \
while redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[3]) do \
local old = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES') \
local id, at = string.match(old[1], '^(%x+:%d+):(%d+):') \
at = math.max(tonumber(redis.call('HGET', KEYS[4], 'at')), tonumber(at)) \
redis.call('HSET', KEYS[4], 'through', string.format('%.0f', tonumber(old[2])), 'at', string.format('%.0f', at)) \
redis.call('HDEL', KEYS[3], id) redis.call('ZREMRANGEBYRANK', KEYS[2], 0, 0) end \
return sequence .. ';'");

/// Reads on. Arguments: the sequence after which, and how many entries at most. Answers the last sequence,
/// what was trimmed (the last sequence and a time), and of each entry itself and its sequence; then
/// `end`.
pub const FEED_READ_SCRIPT: &str = feed_script!(after "tonumber(ARGV[1])", "local gone = redis.call('HMGET', KEYS[4], 'through', 'at') \
local told = {last, gone[1], gone[2]} \
local found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2]) \
for place = 1, #found, 2 do table.insert(told, found[place]) \
table.insert(told, string.format('%.0f', tonumber(found[place + 1]))) end \
table.insert(told, 'end') return told");
