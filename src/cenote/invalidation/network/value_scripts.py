"""The scripts for values, each one step at the server; ``scripts`` says what the hashes hold."""

from __future__ import annotations

from typing import Final

from cenote.invalidation.network.index_scripts import KEEPING
from cenote.invalidation.network.scripts import PRELUDE

__all__ = ["CHECK", "CLAIM", "EXTEND", "PUT"]

PUT: Final = (
    PRELUDE
    + KEEPING
    + """
local inc, generation, birth, cache, key = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
local kept = redis.call('HMGET', log, 'inc', 'tags')
if kept[1] ~= inc or floor('h', cache) ~= generation or redis.call('HLEN', tags) ~= number(kept[2]) then return 0 end
if outdated(cache, key, birth, 9) then return 0 end
add_name(cache)
local place = string.sub(inc, 1, 16) .. ':' .. cache .. ':' .. generation
keep(place, key, struct.pack('>I8', birth + 1) .. ARGV[6], ARGV[7], ARGV[8], 9)
return 1
"""
)
"""Keep a loaded value, unless something has made it old since its birth.

Keys: both hashes, the value, and the indexes of its generation by end and by name. Arguments: incarnation and
generation that the name carries; birth, cache, identifier; the value, its milliseconds and its end, and its tags.
"""

CLAIM: Final = """
local found = {}
for at = 2, #KEYS, 2 do
    local had = redis.call('SET', KEYS[at], ARGV[1], 'NX', 'PX', ARGV[2]) or redis.call('GET', KEYS[at]) == ARGV[1]
    found[at / 2] = had and 1 + redis.call('EXISTS', KEYS[at - 1]) or 0
end
return found
"""
"""Claim loads: return 0 for each that another has, 1 where nobody did, 2 where there is a value besides.

A claim that is sent again, because the answer was lost, is the caller's.

Keys: each value, and its claim. Arguments: a token of the caller's own, and the milliseconds that the claims last.
"""

EXTEND: Final = """
for at = 1, #KEYS do
    if redis.call('GET', KEYS[at]) == ARGV[2 * at - 1] then redis.call('PEXPIRE', KEYS[at], ARGV[2 * at]) end
end
return 1
"""
"""Have claims last longer, those that still are the caller's.

Keys: the claims. Arguments: the token of each, and milliseconds; 0 gives it back.
"""

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
