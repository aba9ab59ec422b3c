-- Tells a shard whether all sales are paused.
--
-- KEYS  1 fence of the shard
-- ARGV  1 revision of the switch
--       2 1 paused, 0 not
-- Returns the revision that the shard obeys now.
--
-- Why atomic: of two who tell different things the later one counts, in whichever order they come.

local held = tonumber(redis.call('HGET', KEYS[1], 'pause_rev')) or 0
if tonumber(ARGV[1]) <= held then return held end
redis.call('HSET', KEYS[1], 'pause_rev', ARGV[1], 'paused', ARGV[2])
return tonumber(ARGV[1])
