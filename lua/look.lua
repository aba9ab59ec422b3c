-- What a shard holds of one product, for operators. Reads only.
--
-- KEYS  1 fence of the shard
--       2 product
--       3 stream of the shard
--       4 lease of the shard's relay
-- Returns an array: 1 where the shard is open, else 0; epoch of its last recovery; 1 where sales are paused; generation
--       (0: none here); 1 where it is open to reservations; stock; stock version; entries in the stream; id of the
--       oldest one (empty: none); 1 where a relay holds the lease; now (Unix ms).
--
-- Why atomic: it is one moment of a sale that runs.

local fence = redis.call('HMGET', KEYS[1], 'run_id', 'epoch', 'paused')
local run_id = fence[1] and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local product = redis.call('HMGET', KEYS[2], 'gen', 'open', 'stock', 'ver')
local time = redis.call('TIME')
local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
return {
  run_id and fence[1] == run_id and 1 or 0,
  tonumber(fence[2]) or 0,
  fence[3] == '1' and 1 or 0,
  tonumber(product[1]) or 0,
  product[2] == '1' and 1 or 0,
  tonumber(product[3]) or 0,
  tonumber(product[4]) or 0,
  redis.call('XLEN', KEYS[3]),
  oldest and oldest[1] or '',
  redis.call('EXISTS', KEYS[4]),
  time[1] * 1000 + math.floor(time[2] / 1000),
}
