-- Takes a shard for one recovery, and closes it until that recovery has written the fence.
--
-- KEYS  1 fence of the shard
-- ARGV  1 epoch of the recovery, higher than any before
-- Returns an array (state, what it found): state 1 and this server's run_id; 0 and the epoch that is not lower than
--       ours.
--
-- Why atomic: of two recoveries only the later one may go on, so who is later must be settled in the step that claims.

local fence = redis.call('HMGET', KEYS[1], 'epoch', 'claim')
local highest = math.max(tonumber(fence[1]) or 0, tonumber(fence[2]) or 0)
if tonumber(ARGV[1]) <= highest then return { 0, string.format('%.0f', highest) } end
redis.call('HSET', KEYS[1], 'claim', ARGV[1])
redis.call('HDEL', KEYS[1], 'run_id')
return { 1, string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') }
