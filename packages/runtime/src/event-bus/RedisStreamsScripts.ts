/**
 * The Lua of the Redis-Streams bus. Each script is one atomic step of its protocol; they live beside the adapter since
 * they are the adapter.
 *
 * An entry's id is `<ms>-<n>`: the server's clock (never going back) and the entry's number in its stream, counted
 * without gaps. So ids tell age for retention, and the difference of two `n` is a count of messages.
 */

/**
 * KEYS stream, counter. ARGV: topic channel, partition, then key, value, headers for each message.
 * Adds all messages, wakes the consumers, returns the last id.
 */
export const PUBLISH = `
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local last = redis.call('HMGET', KEYS[2], 'ms', 'n')
if last[1] and tonumber(last[1]) > ms then ms = tonumber(last[1]) end
local n = tonumber(last[2] or '0')
local id
for i = 3, #ARGV, 3 do
  n = n + 1
  id = string.format('%.0f-%.0f', ms, n)
  redis.call('XADD', KEYS[1], id, 'k', ARGV[i], 'v', ARGV[i + 1], 'h', ARGV[i + 2])
end
redis.call('HSET', KEYS[2], 'ms', string.format('%.0f', ms), 'n', string.format('%.0f', n))
redis.call('PUBLISH', ARGV[1], ARGV[2])
return id
`

/**
 * One turn of a consumer: it shows that it lives, gives back what it no longer wants, renews what it holds, and takes
 * free partitions up to its fair share.
 *
 * KEYS members (zset: consumer → alive until ms), leases (hash: partition → "until consumer"), groups (zset: group →
 * last seen ms). ARGV: consumer, ttl ms, partition count, group, count of partitions to give back, these, then the
 * partitions that it holds.
 * Returns { members alive, p, fresh, … } with every partition it holds now. A partition is fresh (1) when it wasn't
 * simply renewed, so that somebody else may have moved its cursor.
 */
export const LEASE = `
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local me, ttl, partitions = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ms)
redis.call('ZADD', KEYS[1], ms + ttl, me)
redis.call('ZADD', KEYS[3], ms, ARGV[4])
local members = redis.call('ZCARD', KEYS[1])
local share = math.ceil(partitions / members)
local back = tonumber(ARGV[5])
local function owner(p)
  local lease = redis.call('HGET', KEYS[2], p)
  if not lease then return nil, 0 end
  local until_ms, who = string.match(lease, '^(%d+) (.*)$')
  return who, tonumber(until_ms)
end
for i = 6, 5 + back do
  if owner(ARGV[i]) == me then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
local out = { members }
local held = 0
local mine = {}
local lease = string.format('%.0f', ms + ttl) .. ' ' .. me
local function take(p, fresh)
  redis.call('HSET', KEYS[2], p, lease)
  mine[p] = true
  held = held + 1
  out[#out + 1] = tonumber(p)
  out[#out + 1] = fresh
end
for i = 6 + back, #ARGV do
  if owner(ARGV[i]) == me then take(ARGV[i], 0) end
end
for i = 0, partitions - 1 do
  if held >= share then break end
  local p = tostring(i)
  if not mine[p] then
    local who, until_ms = owner(p)
    if who == nil or who == me or until_ms <= ms then take(p, 1) end
  end
end
return out
`

/**
 * KEYS leases, cursors. ARGV: partition, consumer, the cursor it read from, the cursor to store. Returns 1 when the
 * cursor stands at the new place; 0 when it isn't where the consumer read from (the server lost data); -1 when the
 * partition belongs to another consumer (this one was stopped for long).
 */
export const COMMIT = `
local lease = redis.call('HGET', KEYS[1], ARGV[1])
if not lease or string.match(lease, '^%d+ (.*)$') ~= ARGV[2] then return -1 end
local cursor = redis.call('HGET', KEYS[2], ARGV[1]) or '0-0'
if cursor == ARGV[4] then return 1 end
if cursor ~= ARGV[3] then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[4])
return 1
`

/** KEYS members, leases. ARGV: consumer. Leaves the group: its partitions are free at once. */
export const LEAVE = `
redis.call('ZREM', KEYS[1], ARGV[1])
local leases = redis.call('HGETALL', KEYS[2])
for i = 1, #leases, 2 do
  if string.match(leases[i + 1], '^%d+ (.*)$') == ARGV[1] then redis.call('HDEL', KEYS[2], leases[i]) end
end
return 1
`

/**
 * Deletes what nobody needs: entries that every known group has finished, beyond the newest keep of the stream or
 * older than age. A group unseen for forget is no longer known. What a known group hasn't finished always stays.
 *
 * KEYS stream, counter, groups. ARGV: partition, keep, age ms, forget ms, prefix of the groups' cursor hashes (whose
 * names follow from the groups, so they can't be KEYS: this bus is one server, never a cluster).
 * Returns how many were deleted.
 */
export const TRIM = `
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ms - tonumber(ARGV[4]))
local low_ms, low_n
for _, group in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  local cursor = redis.call('HGET', ARGV[5] .. group, ARGV[1]) or '0-0'
  local c_ms, c_n = string.match(cursor, '^(%d+)-(%d+)$')
  c_ms, c_n = tonumber(c_ms), tonumber(c_n)
  if not low_n or c_n < low_n then low_ms, low_n = c_ms, c_n end
end
if not low_n then return 0 end
local deleted = 0
local old = ms - tonumber(ARGV[3])
-- Ids are compared by ms first, so both bounds keep the cursor's own entry.
local by_age = math.min(old, low_ms)
if by_age > 0 then
  deleted = deleted + redis.call('XTRIM', KEYS[1], 'MINID', string.format('%.0f-0', by_age))
end
local n = tonumber(redis.call('HGET', KEYS[2], 'n') or '0')
local unfinished = n - low_n
deleted = deleted + redis.call('XTRIM', KEYS[1], 'MAXLEN', string.format('%.0f', math.max(tonumber(ARGV[2]), unfinished)))
return deleted
`
