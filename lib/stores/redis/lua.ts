// What all scripts share. A script is atomic inside the server, so each step of a lock is one script and one round trip.
//
// KEYS[1] is the session, a hash. It is the only key, so a cluster can move it from node to node at any time.
//   d data, k its kind (s or b), v version, c a x times, u user as JSON
//   t token of the holder, e end of its lease on the server's clock, o what holds it: while it is locked
//   q who waits, in order, a line each: "<counts as gone after> <token> <l or d>", l for listens, d for deaf
//   p when it was last written, then the ids of the last writes, a line each
// A destroyed session leaves for a minute: by whom (by), when (at), p, and for those who waited (q) where to go (to).
import { createHash } from 'node:crypto'

export interface Script { readonly text: string, readonly sha: string }

/** Arguments 1 to 7 are the same in all scripts. */
const COMMON = `
local key, token, clock, claim = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local channel, cluster, inline, maxSize = ARGV[4], ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local exactly = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local now = math.floor(exactly)
local kind = redis.call('TYPE', key).ok
local v, t, e, x, q, by
if kind == 'hash' then
  local found = redis.call('HMGET', key, 'v', 't', 'e', 'x', 'q', 'by')
  v, t, e, x, q, by = found[1], found[2], tonumber(found[3] or 0), tonumber(found[4] or ''), found[5], found[6]
end
local exists = v and x
local spoilt = kind ~= 'none' and not exists and not by
local held = exists and t and e > now

local function integer (n) return string.format('%.0f', n) end
local function payload ()
  local r = redis.call('HMGET', key, 'v', 'k', 'c', 'a', 'x', 'u', 'd')
  for i = 1, 7 do if not r[i] then return '' end end
  return table.concat(r, '\\n')
end
-- A session does not expire under its lock (S2).
local function outlive (ms)
  if redis.call('PTTL', key) < ms + 1000 then redis.call('PEXPIRE', key, integer(ms + 1000)) end
end
-- Those who wait, without those who have not asked for too long.
local function waiters ()
  local list = {}
  for till, waiter, ear in string.gmatch(q or '', '(%d+) (%S+) (%a)\\n') do
    if tonumber(till) > now then list[#list + 1] = { till = till, token = waiter, ear = ear } end
  end
  return list
end
local function placeIn (list)
  for place, waiter in ipairs(list) do if waiter.token == token then return place end end
end
local function keep (list)
  local lines = {}
  for i, waiter in ipairs(list) do lines[i] = waiter.till .. ' ' .. waiter.token .. ' ' .. waiter.ear .. '\\n' end
  if #list > 0 then redis.call('HSET', key, 'q', table.concat(lines)) elseif q then redis.call('HDEL', key, 'q') end
end
local function tell (waiter, text)
  local process = string.match(waiter.token, '^[^.]+')
  local receivers = redis.call('PUBLISH', channel .. process, waiter.token .. '\\n' .. text)
  -- In a cluster only the subscribers of this node are counted.
  return receivers > 0 or cluster
end
local function wakeAll (list)
  for _, waiter in ipairs(list) do tell(waiter, '') end
end
-- Gives the free lock to the first of the list who hears it, or knows that it is deaf and asks often. Who is not reached
-- keeps its place: its connection may come back. If it is dead, it soon counts as gone.
local function handOver (list)
  redis.call('HDEL', key, 't', 'e', 'o')
  t, e = nil, 0
  if x <= clock then
    wakeAll(list)
    list = {}
  end
  local text
  for place, waiter in ipairs(list) do
    if waiter.token ~= token and not text then text = redis.call('HSTRLEN', key, 'd') <= inline and payload() or '' end
    if waiter.token == token or tell(waiter, text) or waiter.ear == 'd' then
      t, e = waiter.token, now + claim
      redis.call('HSET', key, 't', t, 'e', integer(e))
      outlive(claim)
      table.remove(list, place)
      break
    end
  end
  keep(list)
end
-- Rule S1: my token, or nobody's and the version that was loaded.
local function mayWrite (version) return exists and (t == token or (not held and v == version)) end
-- A client repeats a command whose answer was lost. It has counted already, whatever others wrote since.
local function lately () return kind == 'hash' and redis.call('HGET', key, 'p') or '' end
local function hasCounted (id, writes) return string.find(writes, '\\n' .. id .. '\\n', 1, true) end
-- The last writes, about fifty, with this one. After a pause the older ones need not be kept: nobody repeats so late.
local function withWrite (id, writes)
  local last = tonumber(string.match(writes, '^%d+') or 0)
  local before = now - last < 10000 and string.sub(writes, string.find(writes, '\\n', 1, true), -1) or '\\n'
  return integer(now) .. '\\n' .. string.sub(before, -1000) .. id .. '\\n'
end
`

export function script (text: string): Script {
  const whole = COMMON + text
  return { text: whole, sha: createHash('sha1').update(whole).digest('hex') }
}
