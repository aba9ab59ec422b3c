-- Reserves for many buyers of one product in one call.
--
-- KEYS  1 fence of the shard        hash  epoch, run_id, claim, paused, pause_rev
--       2 stream of the shard       one entry an open reservation
--       3 product                   hash  gen, open, start, end, limit, price, stock, ver, expire
--       4 buyers of the generation  hash  user id -> record, see below
-- ARGV  1 generation that the order numbers were made for (whose buyers KEYS[4] holds)
--       2 entries that the stream may hold
--       3 n, how many items
--       then five columns of n: user ids, quantities, request ids, not_after (Unix ms), order numbers
--       then pairs (item counted from 1, W3C traceparent) for the items that carry a trace
-- Returns a flat array:
--       now (Unix ms), generation of the product (0: there is none here), stock left, stock version,
--       then n pairs (code, detail), see ReserveCode in contracts,
--       then triples (item counted from 1, order number, live order numbers by comma) for REPEATED and ALREADY_BOUGHT
--
-- A record is `order_num,quantity,request_id,l;` for each reservation of the buyer, oldest first; `l` becomes `r` when
-- it is released. An entry is one field `e`: `order_num user_id quantity request_id price limit[ traceparent]`; product
-- and generation are in the number, the time is the entry's id.
--
-- Why atomic: between the checks and the deduction nobody else may take the stock or use up the buyer's limit, and
-- there must be no moment at which stock is gone and neither the buyer's record nor the stream says to whom.
-- Redis refuses writes (out of memory, too few replicas, disk failure) at the first one, so a call that fails by that
-- has changed nothing.

local CODE = {
  RESERVED = 0,
  REPEATED = 1,
  SOLD_OUT = 2,
  ALREADY_BOUGHT = 3,
  NOT_STARTED = 4,
  ENDED = 5,
  NOT_ON_SALE = 6,
  EXPIRED = 7,
  FENCED = 8,
  KEY_REUSED = 9,
  STALE_GENERATION = 10,
  BACKLOG_FULL = 11,
  PAUSED = 12,
}
local MAX_RESERVATIONS_PER_BUYER = 5
local FIRST_COLUMN = 3

local generation = tonumber(ARGV[1])
local n = tonumber(ARGV[3])
local users, quantities, requests = FIRST_COLUMN, FIRST_COLUMN + n, FIRST_COLUMN + 2 * n
local deadlines, numbers = FIRST_COLUMN + 3 * n, FIRST_COLUMN + 4 * n

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local fence = redis.call('HMGET', KEYS[1], 'run_id', 'paused')
local fence_run_id, paused = fence[1], fence[2] == '1'
local run_id = fence_run_id and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
if not run_id or fence_run_id ~= run_id then
  local closed = { now, 0, 0, 0 }
  for i = 1, n do
    closed[3 + 2 * i] = CODE.FENCED
    closed[4 + 2 * i] = 0
  end
  return closed
end

local product = redis.call('HMGET', KEYS[3], 'gen', 'open', 'start', 'end', 'limit', 'price', 'stock', 'ver', 'expire')
local current = tonumber(product[1]) or 0
local open = product[2] == '1'
local window_start = tonumber(product[3]) or 0
local window_end = tonumber(product[4]) or 0
local limit = tonumber(product[5]) or 0
local stock = tonumber(product[7]) or 0
local version = tonumber(product[8]) or 0
-- Price and limit go on as the text they are: Lua would print a large number in scientific notation.
local entry_tail = ' ' .. (product[6] or '') .. ' ' .. (product[5] or '')

local records = {}
if current == generation and current > 0 then
  local ids = {}
  for i = 1, n do ids[i] = ARGV[users + i] end
  local found = redis.call('HMGET', KEYS[4], unpack(ids))
  for i = 1, n do records[ids[i]] = found[i] end
end

local traces
for i = FIRST_COLUMN + 5 * n + 1, #ARGV, 2 do
  traces = traces or {}
  traces[tonumber(ARGV[i])] = ARGV[i + 1]
end

local reply = { now, current, 0, 0 }
local named, named_at = {}, 0
local room
local sold = 0
local changed

local function name(i, order_num, live)
  named[named_at + 1], named[named_at + 2], named[named_at + 3] = i, order_num, live
  named_at = named_at + 3
end

-- The code and the detail of one item, done where it is RESERVED.
local function judge(i)
  if now > tonumber(ARGV[deadlines + i]) then return CODE.EXPIRED, 0 end
  if current == 0 then return CODE.NOT_ON_SALE, 0 end
  if current ~= generation then return CODE.STALE_GENERATION, current end

  local user, quantity, request = ARGV[users + i], tonumber(ARGV[quantities + i]), ARGV[requests + i]
  local record = records[user]
  local bought, made, newest, newest_live, live_numbers = 0, 0, '', nil, ''
  if record then
    for held, held_quantity, held_request, state in string.gmatch(record, '([^,;]+),(%d+),([^,;]+),([lr]);') do
      if held_request == request then
        if tonumber(held_quantity) ~= quantity then return CODE.KEY_REUSED, 0 end
        name(i, held, '')
        return CODE.REPEATED, 0
      end
      made = made + 1
      newest = held
      if state == 'l' then
        bought = bought + tonumber(held_quantity)
        live_numbers = newest_live and (live_numbers .. ',' .. held) or held
        newest_live = held
      end
    end
  end

  if paused then return CODE.PAUSED, 0 end
  if now < window_start then return CODE.NOT_STARTED, window_start end
  if window_end > 0 and now >= window_end then return CODE.ENDED, window_end end
  if not open then return CODE.NOT_ON_SALE, 0 end
  if bought + quantity > limit or made >= MAX_RESERVATIONS_PER_BUYER then
    name(i, newest_live or newest, live_numbers)
    return CODE.ALREADY_BOUGHT, limit
  end
  if stock < quantity then return CODE.SOLD_OUT, stock end
  room = room or tonumber(ARGV[2]) - redis.call('XLEN', KEYS[2])
  if room < 1 then return CODE.BACKLOG_FULL, 0 end

  local order_num = ARGV[numbers + i]
  local entry = order_num .. ' ' .. user .. ' ' .. ARGV[quantities + i] .. ' ' .. request .. entry_tail
  if traces and traces[i] then entry = entry .. ' ' .. traces[i] end
  redis.call('XADD', KEYS[2], '*', 'e', entry)
  room = room - 1
  stock = stock - quantity
  sold = sold + quantity
  records[user] = (record or '') .. order_num .. ',' .. ARGV[quantities + i] .. ',' .. request .. ',l;'
  changed = changed or {}
  changed[user] = true
  return CODE.RESERVED, 0
end

for i = 1, n do
  reply[3 + 2 * i], reply[4 + 2 * i] = judge(i)
end

if changed then
  local pairs_of, at = {}, 0
  for user in pairs(changed) do
    pairs_of[at + 1], pairs_of[at + 2] = user, records[user]
    at = at + 2
  end
  local added = redis.call('HSET', KEYS[4], unpack(pairs_of))
  redis.call('HINCRBY', KEYS[3], 'stock', -sold)
  version = redis.call('HINCRBY', KEYS[3], 'ver', 1)
  -- The generation's first buyers made the key: it goes when the product's goes.
  local expire = tonumber(product[9]) or 0
  if expire > 0 and added == redis.call('HLEN', KEYS[4]) then
    redis.call('EXPIREAT', KEYS[4], product[9])
  end
end

reply[3], reply[4] = stock, version
local tail = 4 + 2 * n
for i = 1, named_at do reply[tail + i] = named[i] end
return reply
