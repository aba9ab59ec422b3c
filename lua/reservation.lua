-- What a shard knows of one buyer of a product. Reads only.
--
-- KEYS  1 fence of the shard
--       2 product
--       3 buyers of the generation ARGV[1]
-- ARGV  1 generation whose buyers KEYS[3] holds
--       2 user id
-- Returns an array: 1 where the shard is open, else 0; generation of the product (0: none here); the buyer's record
--       (empty: none); price of the generation; now (Unix ms).
--
-- Why atomic: "no such reservation" means something only of an open shard and of the current generation.

local fence_run_id = redis.call('HGET', KEYS[1], 'run_id')
local run_id = fence_run_id and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local open = run_id and fence_run_id == run_id and 1 or 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local product = redis.call('HMGET', KEYS[2], 'gen', 'price')
local current = tonumber(product[1]) or 0
local record = current == tonumber(ARGV[1]) and redis.call('HGET', KEYS[3], ARGV[2])
return { open, current, record or '', tonumber(product[2]) or 0, now }
