-- Agrees on buckets. crate::limits::agreement has the same arithmetic in Rust, and says why.
--
-- KEYS: the buckets. ARGV: the longest time that a bucket can be ahead, in microseconds; how long a full bucket
-- is kept, in milliseconds; then for each bucket what the node tells, in microseconds: spent, window, missing.
-- Answer: for each bucket the microseconds until it is full, as all nodes together have used it.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local most, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer = {}
for i, key in ipairs(KEYS) do
  local spent, window, missing = tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2])
  local known = 0
  if missing > 0 then known = math.max(now + missing - spent, 0) end
  -- A value of another type is an error here. It is overwritten, as is one with more than two times.
  local stored = redis.pcall('GET', key)
  if type(stored) == 'string' and #stored <= 33 then
    local full_at, written = string.match(stored, '^(%d+) (%d+)$')
    if full_at then
      known = math.max(tonumber(full_at) - math.max(tonumber(written) - now, 0), 0)
    end
  end
  local begin = math.max(known, now - window)
  local full_at = math.min(begin + spent, now + most)
  local left = math.max(full_at - now, 0)
  redis.call('SET', key, string.format('%.0f %.0f', full_at, now), 'PX', string.format('%.0f', math.ceil(left / 1000) + keep))
  answer[i] = left
end
return answer
