-- Gives back the stock of one reservation whose order was rejected or cancelled, once.
--
-- KEYS  1 fence of the shard
--       2 product
--       3 buyers of the generation ARGV[1]
-- ARGV  1 generation whose buyers KEYS[3] holds
--       2 user id
--       3 order number
-- Returns an array (state, generation of the product): state 1 released now; 0 nothing to release (unknown here, or
--       released before); -1 the shard is fenced, nothing was done; -2 the product is at another generation, nothing
--       was done.
--
-- Why atomic: stock may grow only in the same step in which this very record goes from live to released, so that a
-- second message, or one that comes after a rebuild which already counted the order as cancelled, adds nothing.

local fence_run_id = redis.call('HGET', KEYS[1], 'run_id')
local run_id = fence_run_id and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run_id or fence_run_id ~= run_id then return { -1, 0 } end

local current = tonumber(redis.call('HGET', KEYS[2], 'gen') or 0)
if current == 0 then return { 0, 0 } end
if current ~= tonumber(ARGV[1]) then return { -2, current } end

local record = redis.call('HGET', KEYS[3], ARGV[2])
if not record then return { 0, current } end

local quantity
local released = string.gsub(record, '([^,;]+),(%d+),([^,;]+),l;', function(order_num, held_quantity, request)
  if order_num ~= ARGV[3] then return nil end
  quantity = held_quantity
  return order_num .. ',' .. held_quantity .. ',' .. request .. ',r;'
end)
if not quantity then return { 0, current } end

redis.call('HSET', KEYS[3], ARGV[2], released)
redis.call('HINCRBY', KEYS[2], 'stock', quantity)
redis.call('HINCRBY', KEYS[2], 'ver', 1)
return { 1, current }
