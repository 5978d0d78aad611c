"""The scripts for values, each one step at the server; ``scripts`` says what the hashes hold."""

from __future__ import annotations

from typing import Final

from cenote.invalidation.network.scripts import KEPT_MS, PRELUDE

__all__ = ["CHECK", "CLAIM", "EXTEND", "PUT"]

PUT: Final = (
    PRELUDE
    + f"""
local value, index, names = KEYS[3], KEYS[4], KEYS[5]
local inc, generation, birth, cache, key = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local kept = redis.call('HMGET', log, 'inc', 'tags')
if kept[1] ~= inc or floor('h', cache) ~= generation or redis.call('HLEN', tags) ~= number(kept[2]) then return 0 end
if outdated(cache, key, birth, 10) then return 0 end
add_name(cache)
redis.call('SET', value, struct.pack('>I8', birth + 1) .. ARGV[6], 'PX', ARGV[7])
redis.call('ZADD', index, ARGV[8], key)
redis.call('ZADD', names, 0, key)
redis.call('PEXPIRE', index, {KEPT_MS})
redis.call('PEXPIRE', names, {KEPT_MS})
for at = 10, #ARGV do
    redis.call('ZADD', ARGV[9] .. ARGV[at], ARGV[8], key)
    redis.call('PEXPIRE', ARGV[9] .. ARGV[at], {KEPT_MS})
end
return 1
"""
)
"""Keep a loaded value, unless something has made it old since its birth.

Keys: both hashes, the value, and the indexes of its generation by end and by name. Arguments: incarnation and
generation that the name carries; birth, cache, identifier; the value, its milliseconds and its end; how the names of
the generation's indexes by tag begin, and its tags.
"""

CLAIM: Final = """
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) and redis.call('GET', KEYS[2]) ~= ARGV[1] then
    return 0
end
return 1 + redis.call('EXISTS', KEYS[1])
"""
"""Claim a load: return 0 when another has it, 1 when nobody did, 2 when there is a value besides.

A claim that is sent again, because the answer was lost, is the caller's.

Keys: the value, the claim. Arguments: a token of the caller's own, and the milliseconds that the claim lasts.
"""

EXTEND: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""Have a claim last longer, if it still is the caller's. Arguments: its token, milliseconds; 0 gives it back."""

CHECK: Final = (
    PRELUDE
    + """
local inc, generation, birth, cache, key = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local kept = redis.call('HMGET', log, 'inc', 'p:' .. cache, 'tags', 'id')
local id = identity()
if kept[1] ~= inc or kept[4] ~= id or redis.call('HLEN', tags) ~= number(kept[3]) then return 2 end
if floor('h', cache) ~= generation then return 2 end
local found = 0
for _, each in ipairs(unpacked(kept[2])) do
    if each[2] > birth and string.sub(key, 1, #each[1]) == each[1] then found = math.max(found, each[3] and 1 or 2) end
end
for at = 6, #ARGV do
    local raised = redis.call('HMGET', tags, 'h:' .. cache .. '\\0' .. ARGV[at], 's:' .. cache .. '\\0' .. ARGV[at])
    if number(raised[1]) > birth then found = 2 end
    if number(raised[2]) > birth then found = math.max(found, 1) end
end
return found
"""
)
"""Return 2 when a value is covered by a prefix or a tag that was invalidated since its birth, 1 softly, else 0.

Arguments: incarnation, generation, birth, cache, identifier, tags.
"""
