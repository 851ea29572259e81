-- renew: a host's share of one limit of an account. Run by Redis or Valkey, by
-- EVALSHA, once a second for each host and limit; the engine's half of
-- common/shared/fleet.h, where the rules and their reasons are. The same in C
-- is agent/engine/fleet_engine.c: change both, test_fleet_script compares them.
--
--   KEYS[1]  hash: host -> "nonce epoch number told share end sure want seen",
--            or "gone" by the operator's word (forget.lua)
--   KEYS[2]  hash: run, born, last, learn
--   KEYS[3]  of connections, hash: host -> "kind until value ...", what it
--            learned of the provider
--   ARGV     host nonce epoch number | size limit minimum ttl linger forget |
--            want cap in_use | echo left seen since life | lessons | [run now]
--            The last two are for tests: otherwise the server's own.
--   ->       {word, share, end, at, known, target, life, lessons}
--   lessons  "kind left value ..." in a question, "kind left value host ..."
--            in an answer; "" where there is no KEYS[3]
--
-- Times are microseconds of the server's clock. All keys have one hash tag.
local host, nonce, epoch, number = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local size, limit, minimum = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local ttl, linger, forget = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local want, cap, in_use = tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13])
local echo, left, seen, since = tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17])
local told_life, run, now = ARGV[18], ARGV[20], tonumber(ARGV[21])
local answer_us, lesson_us = 1000000, 86400000000

if not now then
	local t = redis.call('TIME')
	now = t[1] * 1000000 + t[2]
	run = redis.call('INFO', 'server'):match('run_id:(%x+)')
end
local base = math.floor(limit / size)

-- Memory: is it this process's own, and has the clock gone on as clocks do?
local kept = redis.call('HMGET', KEYS[2], 'run', 'born', 'last', 'learn')
local born, last, learn = tonumber(kept[2]), tonumber(kept[3]), tonumber(kept[4])
local function life_of(start)
	return string.format('%.42s:%.0f', run, start)
end
local good = kept[1] == run and born and last and learn and now >= last and now <= last + math.floor(ttl / 4)
if good and told_life == life_of(born) and seen ~= 0 and now < seen + since - answer_us then
	good = false
end
-- The first write is one that a server refuses whose memory is full: behind
-- another one it would take this, too, and forget instead.
redis.call('HSET', KEYS[2], 'last', string.format('%.0f', now))
if not good then
	redis.call('DEL', unpack(KEYS))
	born, learn = now, now + ttl + linger
	redis.call('HSET', KEYS[2], 'run', run, 'born', string.format('%.0f', born), 'learn', string.format('%.0f', learn),
		'last', string.format('%.0f', now))
end
local life = life_of(born)
local has_told = told_life == life

local hosts, known = {}, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local n, e, m, t, s, stop, sure, w, at =
		all[i + 1]:match('^(%x+) (%d+) (%d+) ([01]) (%d+) (%d+) (%d+) (%d+) (%d+)$')
	if n then
		hosts[all[i]] = {nonce = n, epoch = tonumber(e), number = tonumber(m), has_told = t == '1',
			share = tonumber(s), stop = tonumber(stop), sure = tonumber(sure), want = tonumber(w),
			seen = tonumber(at)}
	elseif all[i + 1] == 'gone' then
		hosts[all[i]] = {is_gone = true, stop = 0, share = 0, sure = 0, want = 0}
	end -- what is neither counts as a host that was never seen
	known = known + (hosts[all[i]] and 1 or 0)
end

local me, word = hosts[host], 'OK'
if not me then
	if known < size then
		known = known + 1
	else
		-- Who is gone for good makes room: nothing is kept for it.
		local seat
		for name, o in pairs(hosts) do
			if o.is_gone and (not seat or name < seat) then seat = name end
		end
		if seat then redis.call('HSET', KEYS[1], seat, 'replaced') else word = 'FULL' end
	end
elseif me.is_gone then
	word = 'OK'
elseif me.epoch == epoch and me.nonce == nonce then
	if me.number >= number then word = 'TWICE' end
elseif me.stop > now and me.epoch >= epoch then
	word = 'STALE'
end
if word ~= 'OK' then return {word, 0, 0, now, known, 0, life, ''} end

local function is_forgotten(at)
	return forget > 0 and at + forget + linger <= now
end
local function silent_part(at)
	return is_forgotten(at) and minimum or base
end
local function lends(o)
	return o.stop > now and o.share < base and o.sure > now
end
-- What is free until then, if others fall back to what is theirs as early as
-- they may. Or those who lend may all have their base from a moment on, when
-- loans are over: what is free before that, and after it.
local function free_until(stop)
	local free, back = limit - (size - known) * silent_part(born), stop
	local before, after = free, free
	for name, o in pairs(hosts) do
		if name ~= host and not o.is_gone and lends(o) then back = math.min(back, o.sure) end
	end
	for name, o in pairs(hosts) do
		if name ~= host and not o.is_gone then
			local part = o.stop + linger <= now and silent_part(o.seen) or math.max(o.share, base)
			free = free - (o.stop + linger > now and o.stop > now and o.sure >= stop and o.share or part)
			before = before - (lends(o) and o.share or part)
			local is_over = o.stop > now and o.share > base and o.stop <= back and linger == 0
			after = after - (is_over and base or part)
		end
	end
	return math.max(free, math.min(before, after))
end

-- Everybody's wish is filled up to the same level, with what those who are
-- silent do not keep.
local wants, level, rest = {want}, 0, limit - (size - known) * silent_part(born)
for name, o in pairs(hosts) do
	if name ~= host and o.stop > now then
		if o.want > 0 then wants[#wants + 1] = o.want end
	elseif name ~= host and not o.is_gone then
		rest = rest - (o.stop + linger <= now and silent_part(o.seen) or math.max(o.share, base))
	end
end
rest = math.max(0, rest)
table.sort(wants)
for i, w in ipairs(wants) do
	level = math.min(w, math.floor(rest / (#wants - i + 1)))
	rest = rest - level
end
local target = math.min(want, math.max(base, level))

local learned = learn <= now
if not learned and known >= size and has_told then
	learned = true
	for name, o in pairs(hosts) do
		if name ~= host and not o.has_told and not o.is_gone then learned = false end
	end
end

local share, stop = cap, now + ttl
if learned then
	share = math.max(0, math.min(target, free_until(stop)))
	-- A loan is no longer than the lease of who lends.
	local short = stop
	for name, o in pairs(hosts) do
		if name ~= host and o.stop > now and o.share < base and o.sure >= now + math.floor(ttl / 2) then
			short = math.min(short, o.sure)
		end
	end
	local more = math.min(target, free_until(short))
	if more > share and more > base then share, stop = more, short end
elseif cap > base then
	stop = math.min(stop, now + left)
end

redis.call('HSET', KEYS[1], host, string.format('%s %.0f %.0f %d %.0f %.0f %.0f %.0f %.0f', nonce, epoch, number,
	has_told and 1 or 0, math.max(share, cap, in_use), math.max(stop, me and me.stop or 0),
	has_told and echo or 0, want, now))

-- What it learned of the provider, and of each kind the one of others that
-- lasts longest.
local function exchange()
	local mine, best, said = {}, {}, {}
	for kind, lasts, value in ARGV[19]:gmatch('([1-8]) (%d+) (%d+)') do
		mine[#mine + 1] = string.format('%s %.0f %s', kind, now + math.min(tonumber(lasts), lesson_us), value)
	end
	mine = table.concat(mine, ' ')
	local rows, kept = redis.call('HGETALL', KEYS[3]), ''
	for i = 1, #rows, 2 do
		local name, o = rows[i], hosts[rows[i]]
		if name == host then kept = rows[i + 1]
		elseif o and not o.is_gone then
			for kind, till, value in rows[i + 1]:gmatch('([1-8]) (%d+) (%d+)') do
				local lasts, b = math.min(tonumber(till) - now, lesson_us), best[kind]
				if lasts > 0 and (not b or lasts > b.lasts or (lasts == b.lasts and name < b.name)) then
					best[kind] = {lasts = lasts, value = value, name = name}
				end
			end
		end
	end
	if mine ~= kept then redis.call('HSET', KEYS[3], host, mine) end
	for kind = 1, 8 do
		local b = best[tostring(kind)]
		if b then said[#said + 1] = string.format('%d %.0f %s %s', kind, b.lasts, b.value, b.name) end
	end
	return table.concat(said, ' ')
end
return {word, share, stop, now, known, target, life, KEYS[3] and exchange() or ''}
