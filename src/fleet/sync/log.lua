-- A log of entries, in the order of the store's clock.
--
-- KEYS: the log. ARGV: the score from which to read; the age of an entry after which it is removed, in
-- milliseconds; the most entries; then new entries.
-- Answer: the score from which to read the next time, whether there is more to read now, and the entries.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local log, age, most = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local kind = redis.call('TYPE', log)['ok']
if kind ~= 'zset' and kind ~= 'none' then
  redis.call('DEL', log)
end
for i = 4, #ARGV do
  redis.call('ZADD', log, string.format('%.0f', now + i), ARGV[i])
end
if #ARGV > 3 then
  redis.call('ZREMRANGEBYSCORE', log, '-inf', string.format('%.0f', now - age * 1000))
  redis.call('ZREMRANGEBYRANK', log, 0, -most - 1)
  redis.call('PEXPIRE', log, ARGV[2])
end
local limit, room = 1000, 1048576
local found = redis.call('ZRANGEBYSCORE', log, ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
-- A script can be a moment late with a score that another has already read past.
local from, has_more, entries = now - 100000, 0, {}
for i = 1, #found, 2 do
  -- The longest entry of a node has 250 signatures: 8038 bytes. What is longer is not an entry of a node.
  if #found[i] <= 8192 then
    entries[#entries + 1] = found[i]
    room = room - #found[i]
  end
  if room <= 0 or i + 1 == 2 * limit then
    -- Scores of the future are not those of a node either, and would hide what comes next.
    from, has_more = math.min(from, tonumber(found[i + 1])), 1
    break
  end
end
return {string.format('%.0f', from), has_more, entries}
