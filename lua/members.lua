-- Who was seen with something within a sliding window: the accounts of a device, the addresses of an account.
--
-- KEYS  1 members    sorted set  member -> Unix ms at which it was last seen
-- ARGV  1 member that is seen now
--       2 window (ms)
--       3 how many there may be; one more isn't added, and so doesn't stay in anybody's way
-- Returns { count: members in the window, this one included where it was let in, let in: 1 or 0,
--           wait: ms until there is room again (0 where it was let in) }
--
-- Why atomic: of two that come at once for the last place one must be told so. Bounded: never more members than allowed.

local member, window, max = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local count = redis.call('ZCARD', KEYS[1])
local known = redis.call('ZSCORE', KEYS[1], member)
if not known and count >= max then
  -- Where the number was lowered meanwhile, more than one have to go first.
  local last = redis.call('ZRANGE', KEYS[1], count - max, count - max, 'WITHSCORES')
  return { count, 0, math.max(1, tonumber(last[2]) + window - now) }
end
redis.call('ZADD', KEYS[1], now, member)
redis.call('PEXPIRE', KEYS[1], window)
if not known then count = count + 1 end
return { count, 1, 0 }
