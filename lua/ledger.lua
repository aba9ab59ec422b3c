-- What a shard holds of one product, for whoever compares it with MySQL: the numbers, and one page of the buyers'
-- records. Reads only.
--
-- KEYS  1 fence of the shard
--       2 product
--       3 buyers of the generation ARGV[1]
-- ARGV  1 generation whose buyers KEYS[3] holds
--       2 cursor of HSCAN: 0 for the first page, or what the page before answered
--       3 about how many buyers a page has; 0 for none: the numbers only
-- Returns an array: 1 where the shard is open, else 0; generation of the product (0: none here); stock; stock version;
--       buyers in all; cursor of the next page (0: this was the last); then pairs (user id, record).
--
-- Why atomic: stock and stock version are of one moment with the page. Pages of which all saw the same version are of
-- one moment together, since whatever changes a record raises it. A page bounds the time for which the shard stands
-- still.

local fence_run_id = redis.call('HGET', KEYS[1], 'run_id')
local run_id = fence_run_id and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local open = run_id and fence_run_id == run_id and 1 or 0

local product = redis.call('HMGET', KEYS[2], 'gen', 'stock', 'ver')
local current = tonumber(product[1]) or 0
local reply = { open, current, tonumber(product[2]) or 0, tonumber(product[3]) or 0, 0, 0 }
if current == 0 or current ~= tonumber(ARGV[1]) then return reply end

reply[5] = redis.call('HLEN', KEYS[3])
if tonumber(ARGV[3]) > 0 then
  local page = redis.call('HSCAN', KEYS[3], ARGV[2], 'COUNT', ARGV[3])
  -- A cursor is 64 bits, more than a Lua number holds: it stays text.
  reply[6] = page[1]
  local records = page[2]
  for i = 1, #records do reply[6 + i] = records[i] end
end
return reply
