-- Opens a shard that was proved equal to MySQL: the only writer of the fence.
--
-- KEYS  1 fence of the shard
-- ARGV  1 epoch of the recovery that holds the claim
--       2 run_id of the server on which it claimed and loaded
--       3 revision of the switch of all sales, as MySQL has it
--       4 1 paused, 0 not
-- Returns 1 open; 0 refused: the claim is gone (the server was emptied) or another's, the epoch isn't higher than the
--       fence's, or this is another server, or the same one started anew.
--
-- Why atomic: what was proved is proved of one run of one server; the comparison and the opening must see the same one.
-- And what opens must not sell for a moment what was paused before the server was emptied.

local fence = redis.call('HMGET', KEYS[1], 'epoch', 'claim')
if fence[2] ~= ARGV[1] then return 0 end
if tonumber(ARGV[1]) <= (tonumber(fence[1]) or 0) then return 0 end
if string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[2] then return 0 end
if tonumber(ARGV[3]) > (tonumber(redis.call('HGET', KEYS[1], 'pause_rev')) or 0) then
  redis.call('HSET', KEYS[1], 'pause_rev', ARGV[3], 'paused', ARGV[4])
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'run_id', ARGV[2])
return 1
