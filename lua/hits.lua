-- Counts what happened within a sliding window, about: the part of the last whole window that still counts, and this one.
--
-- KEYS  1 hits       hash  w (number of the window), c (hits in it), p (hits in the one before)
-- ARGV  1 hits to add, 0 to look
--       2 window (ms)
-- Returns hits within the last window, rounded up
--
-- Why atomic: edges add to it at the same time. Bounded: three fields.

local add, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local this = math.floor(now / window)

local state = redis.call('HMGET', KEYS[1], 'w', 'c', 'p')
local at, current, previous = tonumber(state[1]) or this, tonumber(state[2]) or 0, tonumber(state[3]) or 0
if at == this - 1 then
  previous, current = current, 0
elseif at ~= this then
  previous, current = 0, 0
end
current = current + add
if add > 0 then
  redis.call('HSET', KEYS[1], 'w', this, 'c', current, 'p', previous)
  redis.call('PEXPIRE', KEYS[1], 2 * window)
end
return math.ceil(previous * (1 - (now - this * window) / window) + current)
