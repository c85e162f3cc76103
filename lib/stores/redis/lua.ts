// What all scripts share. A script is atomic inside the server, so each step of a lock is one script and one round trip.
// In a script every field, every number and every function that is made costs about as much as a command. So each begins with
// the usual case, in which nobody else wants the session, and reads no more than it needs for that.
//
// KEYS[1] is the session, a hash. It is the only key of a step, so a cluster can move it from node to node at any time.
//   h version, kind of the data, times and user: the lines of record-text.ts; d the data; x when it expires, again
//   l the lock, '' when nobody has it or waits: "<token> <end of its lease on the server's clock>", the token - when it is free,
//     then who waits, in order, a line each: "<counts as gone after> <token> <l or d>", l for listens, d for deaf
//   o "<token> <since> <method> <route>": what holds the lock, if it was said
//   p the id of the last write of each process, a line each
// A destroyed session leaves for a minute: by whom (by), when (at), p, and for those who waited (q) where to go (to).
import { createHash } from 'node:crypto'

interface Text { readonly text: string, readonly sha: string }

/** One step for one session, and for many. */
export interface Script { readonly one: Text, readonly many: Text }

/** In the text of the scripts, not among their arguments: nearly all stores have the same. */
export interface ScriptConstants {
  /** PUBLISH counts only the subscribers of one node. */
  readonly cluster: boolean
  /** For how long a lock that was handed over waits for its holder, in ms. */
  readonly claim: number
  /** Who has not asked for so long has gone, in ms. */
  readonly alive: number
}

/** Larger data are not sent along with the lock, the next holder fetches them. In bytes. */
const INLINE_SIZE = 16 * 1024

/** The same in all scripts: argument 1, the token; 2, the time of the application; the last one, the channel without the process. */
const START = `
local key, token = KEYS[1], ARGV[1]
local function nowExactly ()
  local time = redis.call('TIME')
  return time[1] * 1000 + time[2] / 1000
end
local function integer (n) return string.format('%.0f', n) end
-- A session does not expire under its lock (S2).
local function outlive (ms)
  if redis.call('PTTL', key) < ms + 1000 then redis.call('PEXPIRE', key, integer(ms + 1000)) end
end
-- With this write as the last one of its process; which has no other under way.
local function withWrite (writes, id)
  local from = string.find(writes, '\\n' .. string.match(token, '^[^.]+') .. '.', 1, true)
  if from then writes = string.sub(writes, 1, from - 1) .. string.sub(writes, string.find(writes, '\\n', from + 1, true), -1) end
  return (writes == '' and '\\n' or string.sub(writes, -1000)) .. id .. '\\n'
end
`

const queue = ({ cluster, claim }: ScriptConstants): string => `
local clock, exactly = tonumber(ARGV[2]), nowExactly()
local now = math.floor(exactly)
local found = redis.pcall('HMGET', key, 'h', 'x', 'l', 'p', 'by')
local h, x, l, p, by = found[1], tonumber(found[2] or ''), found[3] or '', found[4] or '', found[5]
local exists = h and x
local spoilt = found.err or (not exists and not by and redis.call('EXISTS', key) == 1)
local t, e, q = string.match(l, '^(%S+) (%d+)\\n(.*)$')
e = tonumber(e or 0)
local held = exists and t and t ~= '-' and e > now

local function payload ()
  local d = redis.call('HGET', key, 'd')
  return d and h .. d or ''
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
  q = table.concat(lines)
  redis.call('HSET', key, 'l', (t == '-' and q == '') and '' or t .. ' ' .. integer(e) .. '\\n' .. q)
end
local function tell (waiter, text)
  local process = string.match(waiter.token, '^[^.]+')
  local receivers = redis.call('PUBLISH', ARGV[#ARGV] .. process, waiter.token .. '\\n' .. text)
  -- In a cluster only the subscribers of this node are counted.
  return receivers > 0 or ${cluster}
end
local function wakeAll (list)
  for _, waiter in ipairs(list) do tell(waiter, '') end
end
-- Gives the free lock to the first of the list who hears it, or knows that it is deaf and asks often. Who is not reached
-- keeps its place: its connection may come back. If it is dead, it soon counts as gone.
local function handOver (list)
  t, e = '-', 0
  if x <= clock then
    wakeAll(list)
    list = {}
  end
  local text
  for place, waiter in ipairs(list) do
    if waiter.token ~= token and not text then text = redis.call('HSTRLEN', key, 'd') <= ${INLINE_SIZE} and payload() or '' end
    if waiter.token == token or tell(waiter, text) or waiter.ear == 'd' then
      t, e = waiter.token, now + ${claim}
      outlive(${claim})
      table.remove(list, place)
      break
    end
  end
  keep(list)
end
local function version () return string.match(h, '^[^\\n]*') end
-- Rule S1: my token, or nobody's and the version that was loaded.
local function mayWrite (loaded) return exists and (t == token or (not held and version() == loaded)) end
`

/** `alone` answers while nobody else wants the session, if it can; otherwise `shared` does, which sees its local names. */
export function script (constants: ScriptConstants, { alone = '', shared }: { alone?: string, shared: string }): Script {
  const one = START + alone + queue(constants) + shared
  return { one: textOf(one), many: textOf(forMany(one)) }
}

/**
 * The same step for each of KEYS. ARGV has for each the number of its arguments, then these. A step that fails answers nil and
 * leaves the others alone.
 */
const forMany = (one: string): string => `
local function step (KEYS, ARGV)
${one}
end
local answers, at = {}, 1
for i, key in ipairs(KEYS) do
  local last = at + tonumber(ARGV[at])
  local ok, answer = pcall(step, { key }, { unpack(ARGV, at + 1, last) })
  answers[i] = ok and answer
  at = last + 1
end
return answers
`

function textOf (text: string): Text {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}
