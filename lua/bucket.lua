-- Charges one token bucket, and leases tokens of it to an edge.
--
-- KEYS  1 bucket      hash  d (tokens missing from a full bucket), at (Unix ms at which that was so),
--                           e:<edge> (Unix ms at which that edge last asked), where it is shared fairly
-- ARGV  1 rate (tokens a second)
--       2 burst (tokens of a full bucket)
--       3 spent: tokens used without having been leased; below 0 they are given back
--       4 wanted: how many tokens to lease
--       5 edge that asks, where the bucket is shared fairly; else empty
-- Returns { leased, wait: ms until there is one to lease (0 where all that was wanted is leased),
--           left: whole tokens that are left, full: ms until the bucket is full }
--
-- What is missing is kept, not what is there: so a key that expired is a full bucket, and a change of the burst is in
-- force with the next call. The time is Redis', so that all edges share one clock.
--
-- Why atomic: two edges must not lease the same token. Bounded: one hash, at most MAX_EDGES fields of edges.

local MAX_EDGES = 64
-- An edge that hasn't asked for this long (ms) needs no share.
local EDGE_LIFE = 1000

local rate = tonumber(ARGV[1]) / 1000
local burst = tonumber(ARGV[2])
local spent = tonumber(ARGV[3])
local wanted = tonumber(ARGV[4])
local edge = ARGV[5]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local state = redis.call('HMGET', KEYS[1], 'd', 'at')
local missing = tonumber(state[1]) or 0
local at = tonumber(state[2]) or now
missing = math.max(0, missing - math.max(0, now - at) * rate)
-- A debt is paid off in one burst at most: nobody is shut out for long for what was let through elsewhere.
missing = math.min(2 * burst, math.max(0, missing + spent))

local share = math.floor(burst - missing + 1e-6)
if edge ~= '' and wanted > 0 then
  local fields = redis.call('HGETALL', KEYS[1])
  local others = 0
  local gone = {}
  for i = 1, #fields, 2 do
    local name = fields[i]
    if string.sub(name, 1, 2) == 'e:' and name ~= 'e:' .. edge then
      if now - tonumber(fields[i + 1]) < EDGE_LIFE then others = others + 1 else gone[#gone + 1] = name end
    end
  end
  if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
  if others < MAX_EDGES then redis.call('HSET', KEYS[1], 'e:' .. edge, now) end
  -- Each gets a part of what is there, so that whoever asks next still finds some.
  share = math.ceil(share / (others + 1))
end
local leased = math.max(0, math.min(wanted, share))
missing = missing + leased

redis.call('HSET', KEYS[1], 'd', string.format('%.6f', missing), 'at', now)
local full = math.ceil(missing / rate)
redis.call('PEXPIRE', KEYS[1], math.min(full + EDGE_LIFE, 86400000))

local wait = 0
if leased < wanted then wait = math.max(1, math.ceil((missing - (burst - 1)) / rate)) end
return { leased, wait, math.max(0, math.floor(burst - missing + 1e-6)), full }
