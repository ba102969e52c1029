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
  local begin, full_at, used = math.max(now - window, 0)
  -- A value of another type is an error here. It is overwritten, as is one that is not three times.
  local stored = redis.pcall('GET', key)
  if type(stored) == 'string' and #stored <= 50 then
    local known, written, known_used = string.match(stored, '^(%d+) (%d+) (%d+)$')
    if known then
      known, used = math.max(tonumber(known) - math.max(tonumber(written) - now, 0), 0), tonumber(known_used)
      if known <= begin then
        full_at, used = begin + spent, spent
      elseif begin >= known - used then
        full_at, used = known + spent, used + spent
      else
        full_at = math.max(known, begin + spent + used)
        if full_at > known then used = full_at - begin end
      end
    end
  end
  if not full_at then
    full_at = begin + spent
    if missing > 0 then full_at = math.max(full_at, now + missing) end
    used = math.max(full_at - now, spent)
  end
  full_at = math.min(full_at, now + most)
  local left = math.max(full_at - now, 0)
  local value = string.format('%.0f %.0f %.0f', full_at, now, used)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.ceil(left / 1000) + keep))
  answer[i] = left
end
return answer
