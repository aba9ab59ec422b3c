-- The waiting room of one product: join it, or ask where one stands. Either lets in whoever is due.
--
-- KEYS  1 waiting    sorted set  user -> place: below SHUFFLED drawn by lot, from there on by arrival
--       2 admitted   sorted set  user -> Unix ms at which they were let in
--       3 room       hash        open (Unix ms from which people are let in), seq (arrivals),
--                                at (Unix ms at which people were last let in), due (people due since then, a fraction)
-- ARGV  1 join, or ask
--       2 user
--       3 lot, 0 to 2^32 - 1, drawn by the edge: Redis' own random numbers are the same in every script
--       4 the sale's start (Unix ms)
--       5 how many are let in a second
--       6 how many may wait
--       7 how long one stays admitted (ms)
-- Returns { state, place, wait, waiting }
--       state: 0 not here, 1 waiting, 2 admitted, 3 there is no room
--       place: people ahead (waiting), or when one was let in (Unix ms, admitted)
--       wait: ms until one's turn, about; waiting: how many wait
--
-- Whoever comes before the room opens, that is in the first second after the start (or, where the sale has begun
-- already, after the first one came), gets a place by lot; later ones stand behind them in the order in which they came.
--
-- Why atomic: nobody may be let in twice or fall between the two sets. Bounded: at most MAX_ADMITTED are let in by one
-- call, and what is still due is let in by the next ones; no call does more.

local MAX_ADMITTED = 500
local SHUFFLED = 4294967296
local FIRST_SECOND = 1000
local KEEP = 86400000

local op, user = ARGV[1], ARGV[2]
local start, rate = tonumber(ARGV[4]), tonumber(ARGV[5])
local capacity, life = tonumber(ARGV[6]), tonumber(ARGV[7])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - life)
local room = redis.call('HMGET', KEYS[3], 'open', 'at', 'due')
local open = tonumber(room[1])
local here = redis.call('ZSCORE', KEYS[2], user) or redis.call('ZSCORE', KEYS[1], user)
local full = false

if op == 'join' and not here then
  if redis.call('ZCARD', KEYS[1]) >= capacity then
    full = true
  else
    if not open then
      open = math.max(start, now) + FIRST_SECOND
      redis.call('HSET', KEYS[3], 'open', open)
    end
    local place = ARGV[3]
    if now >= open then place = SHUFFLED + redis.call('HINCRBY', KEYS[3], 'seq', 1) end
    redis.call('ZADD', KEYS[1], place, user)
  end
end

if open and now >= open then
  local at = tonumber(room[2]) or open
  -- A second's worth at most: what nobody was there for isn't saved up for a crowd.
  local due = math.min(math.max(rate, 1), (tonumber(room[3]) or 0) + math.max(0, now - at) * rate / 1000)
  local count = math.min(math.floor(due), MAX_ADMITTED)
  if count > 0 then
    local first = redis.call('ZPOPMIN', KEYS[1], count)
    for i = 1, #first, 2 do redis.call('ZADD', KEYS[2], now, first[i]) end
    due = due - #first / 2
    -- Nobody is left to be due.
    if #first / 2 < count then due = math.min(due, 1) end
  end
  redis.call('HSET', KEYS[3], 'at', now, 'due', string.format('%.6f', due))
end

if open then
  for i = 1, 3 do redis.call('PEXPIRE', KEYS[i], KEEP) end
end

local waiting = redis.call('ZCARD', KEYS[1])
local admitted = redis.call('ZSCORE', KEYS[2], user)
if admitted then return { 2, tonumber(admitted), 0, waiting } end
local ahead = redis.call('ZRANK', KEYS[1], user)
local opens_in = math.max(0, (open or start) - now)
if ahead then return { 1, ahead, math.ceil(opens_in + (ahead + 1) * 1000 / rate), waiting } end
return { full and 3 or 0, 0, math.ceil(opens_in + (waiting + 1) * 1000 / rate), waiting }
