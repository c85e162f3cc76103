// What runs inside the server. A script is atomic, so each step of a lock is one script and one round trip.
//
// KEYS[1] is the session: a hash. d data, k its kind (s or b), v version, c a x times, u user as JSON; while it is locked
// t token of the holder, e end of its lease on the server's clock, o what holds it.
// KEYS[2] is the list of waiters, each "<dead after> <token>". KEYS[3] remembers for a while who destroyed the session,
// and where those who waited are to go.
import { createHash } from 'node:crypto'

export interface Script { readonly text: string, readonly sha: string }

/** Arguments 1 to 7 are the same in all scripts. */
const COMMON = `
local key, queue, grave = KEYS[1], KEYS[2], KEYS[3]
local token, clock, claim = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local channel, cluster, inline, maxSize = ARGV[4], ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kind = redis.call('TYPE', key).ok
local v, t, e, x
if kind == 'hash' then
  local found = redis.call('HMGET', key, 'v', 't', 'e', 'x')
  v, t, e, x = found[1], found[2], tonumber(found[3] or 0), tonumber(found[4] or '')
end
local exists = v and x
local spoilt = kind ~= 'none' and not exists
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
local function tell (waiter, text)
  local process = string.match(waiter, '^[^.]+')
  local receivers = redis.call('PUBLISH', channel .. process, waiter .. '\\n' .. text)
  -- In a cluster only the subscribers of this node are counted.
  return receivers > 0 or cluster
end
local function nextWaiter ()
  while true do
    local entry = redis.call('LPOP', queue)
    if not entry then return nil end
    local deadline, waiter = string.match(entry, '^(%d+) (.+)$')
    if tonumber(deadline) > now then return waiter end
  end
end
local function wakeAll ()
  local waiter = nextWaiter()
  while waiter do
    tell(waiter, '')
    waiter = nextWaiter()
  end
end
-- Gives the free lock to the first waiter whose process listens.
local function handOver ()
  redis.call('HDEL', key, 't', 'e', 'o')
  if tonumber(redis.call('HGET', key, 'x')) <= clock then return wakeAll() end
  local waiter = nextWaiter()
  while waiter do
    redis.call('HSET', key, 't', waiter, 'e', integer(now + claim))
    outlive(claim)
    local small = redis.call('HSTRLEN', key, 'd') <= inline
    if tell(waiter, small and payload() or '') then return end
    redis.call('HDEL', key, 't', 'e')
    waiter = nextWaiter()
  end
end
-- Rule S1: my token, or nobody's and the version that was loaded.
local function mayWrite (version) return exists and (t == token or (not held and v == version)) end
`

function script (text: string): Script {
  const whole = COMMON + text
  return { text: whole, sha: createHash('sha1').update(whole).digest('hex') }
}

/** 8 lease, 9 how long a waiter counts as alive. -> [1, record] | [2, ms left, holder, held for] | [3, where to, ms ago] | [4, bytes] | [5] spoilt | [0] */
export const ACQUIRE = script(`
local lease = tonumber(ARGV[8])
if spoilt then return {5} end
if not exists then
  local movedTo = redis.call('HGET', grave, token)
  if movedTo then return {3, movedTo, integer(now - tonumber(redis.call('HGET', grave, 'at')))} end
  return {0}
end
local mine, place = t == token, nil
for i, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do
  if string.match(entry, ' (.+)$') == token then place = i - 1 end
end
local alive = integer(now + tonumber(ARGV[9])) .. ' ' .. token
if place then redis.call('LSET', queue, place, alive) end
if not mine and not held then
  if x <= clock then return {0} end
  -- Nobody goes past those who wait.
  if not place then redis.call('RPUSH', queue, alive) place = 0 end
  redis.call('HDEL', key, 't', 'e', 'o')
  local waiter = nextWaiter()
  while waiter and waiter ~= token do
    redis.call('HSET', key, 't', waiter, 'e', integer(now + claim))
    local small = redis.call('HSTRLEN', key, 'd') <= inline
    if tell(waiter, small and payload() or '') then break end
    redis.call('HDEL', key, 't', 'e')
    waiter = nextWaiter()
  end
  mine = waiter == token
  e = now + claim
end
if not mine then
  if not place then redis.call('RPUSH', queue, alive) end
  redis.call('PEXPIRE', queue, 60000)
  outlive(e - now)
  local holder = redis.call('HGET', key, 'o') or ''
  local since = tonumber(string.match(holder, '^%d+') or now)
  return {2, integer(e - now), holder, integer(now - since)}
end
if place then redis.call('LREM', queue, 0, alive) end
local size = redis.call('HSTRLEN', key, 'd')
local text = size <= maxSize and payload() or ''
if text == '' then
  handOver()
  if size > maxSize then return {4, size} end
  return {5}
end
redis.call('HSET', key, 't', token, 'e', integer(now + lease))
outlive(lease)
return {1, text}
`)

/** 8 version that was loaded, 9 save, touch or none, 10 release?, 11 new version, 12 ms to live, 13- a x, 15- k c u d. -> 1, or 0: lost */
export const WRITE = script(`
local mode, release = ARGV[9], ARGV[10] == '1'
if not exists then return mode == 'none' and 1 or 0 end
if mode ~= 'none' then
  if not mayWrite(ARGV[8]) then
    -- The driver repeats a command whose answer was lost; it has counted already.
    return mode == 'save' and v == ARGV[11] and 1 or 0
  end
  redis.call('HSET', key, 'a', ARGV[13], 'x', ARGV[14])
  if mode == 'save' then redis.call('HSET', key, 'v', ARGV[11], 'k', ARGV[15], 'c', ARGV[16], 'u', ARGV[17], 'd', ARGV[18]) end
  redis.call('PEXPIRE', key, ARGV[12])
  if held and e > now then outlive(e - now) end
end
if release and (t == token or not held) then handOver() end
return 1
`)

/** 8 version that was loaded, 9 moved or gone, 10 where to ('' = nowhere). -> 1, or 0: lost */
export const DESTROY = script(`
if not mayWrite(ARGV[8]) then
  return not exists and redis.call('HGET', grave, 'by') == token and 1 or 0
end
redis.call('DEL', key, grave)
redis.call('HSET', grave, 'by', token, 'at', integer(now))
if ARGV[9] == 'moved' then
  for _, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do
    redis.call('HSET', grave, string.match(entry, ' (.+)$'), ARGV[10])
  end
end
redis.call('PEXPIRE', grave, 60000)
wakeAll()
return 1
`)

/** The ticket gives up: out of the list, or the lock goes to the next. */
export const CANCEL = script(`
for _, entry in ipairs(redis.call('LRANGE', queue, 0, -1)) do
  if string.match(entry, ' (.+)$') == token then redis.call('LREM', queue, 0, entry) end
end
if exists and t == token then handOver() end
return 1
`)

/** 8 lease, 9 "method route" or '', 10 held for. -> 1, or 0: lost */
export const RENEW = script(`
if not exists or t ~= token then return 0 end
local lease = tonumber(ARGV[8])
if now + lease > e then
  redis.call('HSET', key, 'e', integer(now + lease))
  outlive(lease)
end
if ARGV[9] ~= '' then redis.call('HSET', key, 'o', integer(now - tonumber(ARGV[10])) .. ' ' .. ARGV[9]) end
return 1
`)

/** 8 version, 9 ms to live, 10- k c a x u d. -> 1, or 0: exists */
export const CREATE = script(`
if kind ~= 'none' then return exists and v == ARGV[8] and 1 or 0 end
redis.call('HSET', key, 'v', ARGV[8], 'k', ARGV[10], 'c', ARGV[11], 'a', ARGV[12], 'x', ARGV[13], 'u', ARGV[14], 'd', ARGV[15])
redis.call('PEXPIRE', key, ARGV[9])
return 1
`)

/** -> [1, record] | [4, bytes] | [5] spoilt | [0] */
export const READ = script(`
if spoilt then return {5} end
if not exists or (not held and x <= clock) then return {0} end
local size = redis.call('HSTRLEN', key, 'd')
if size > maxSize then return {4, size} end
local text = payload()
if text == '' then return {5} end
return {1, text}
`)

/** 8 delete those not used since, 9 really delete? -> 1 live, 2 over, 0 neither */
export const SWEEP = script(`
if not exists then return 0 end
if held then return 1 end
local used = tonumber(redis.call('HGET', key, 'a') or '')
if not used then return 0 end
if x > clock and used >= tonumber(ARGV[8]) then return 1 end
if ARGV[9] == '1' then
  redis.call('DEL', key)
  wakeAll()
end
return 2
`)
