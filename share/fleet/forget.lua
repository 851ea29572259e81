-- forget: the operator says that a host is gone. Run by Redis or Valkey, by
-- EVALSHA, for one limit of an account; layout and rules are those of
-- renew.lua.
--
--   KEYS[1]  hash: host -> its row
--   KEYS[2]  hash: run, born, last, learn
--   ARGV     host size ttl linger
--   ->       {word, wait, seen}: wait and seen in microseconds, 0: none
--
--   OK       it is gone: others may use what was kept for it
--   GONE     it was, before
--   ALIVE    it may hold something for wait longer, and asked seen ago
--   UNKNOWN  there are size other hosts, and none of this name
--   EMPTY    what this engine remembers is not to be relied on: nobody asked
--            it for a while, or it was started since
local host, size = ARGV[1], tonumber(ARGV[2])
local ttl, linger = tonumber(ARGV[3]), tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local run = redis.call('INFO', 'server'):match('run_id:(%x+)')

local kept = redis.call('HMGET', KEYS[2], 'run', 'last', 'learn')
local last, learn = tonumber(kept[2]), tonumber(kept[3])
if kept[1] ~= run or not last or not learn or now < last or now > last + math.floor(ttl / 4) then
	return {'EMPTY', 0, 0}
end

local pattern = '^%x+ %d+ %d+ [01] %d+ (%d+) %d+ %d+ (%d+)$'
local known, stop, seen, is_gone = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local ends, at = all[i + 1]:match(pattern)
	if ends or all[i + 1] == 'gone' then known = known + 1 end
	if all[i] == host then
		stop, seen, is_gone = tonumber(ends), tonumber(at), all[i + 1] == 'gone'
	end
end

if is_gone then return {'GONE', 0, 0} end
if stop then
	if stop + linger > now then return {'ALIVE', stop + linger - now, now - seen} end
elseif known >= size then
	return {'UNKNOWN', 0, 0}
elseif learn > now then
	-- It may be at what it had before the engine was started.
	return {'ALIVE', learn - now, 0}
end
redis.call('HSET', KEYS[1], host, 'gone')
return {'OK', 0, 0}
