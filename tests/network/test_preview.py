"""Previews and dry runs of what machines share at a server."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.servers("valkey")

PREVIEW = "(lambda found: (found.entries, found.exact))(caches.preview('shop', {}))"
DRY_RUN = "(lambda found: (found.entries_cleared, found.count_exact))(cache.clear(dry_run=True, {}))"


@pytest.fixture
def holding(site):
    """Processes of holding machines; one has stored thirteen entries, the other has read one of them."""
    one, other = site.process("a"), site.process("b")
    site.leased(one)
    site.leased(other)
    one.do("cache.set_many({f'a-{number}': 1 for number in range(8)}, tags=['a'])")
    one.do("cache.set_many({f'b-{number}': 1 for number in range(5)}, tags=['b'])")
    site.reads(other, 1, key="b-0")
    return one, other


def test_a_preview_counts_what_is_at_the_server_whoever_is_asked(holding):
    for asked in holding:
        for scope, entries in (("", 13), ("tags=['a']", 8), ("prefix='b-'", 5), ("tags=['b'], prefix='a-1'", 6)):
            assert asked.ask(PREVIEW.format(scope)) == (entries, True)
            assert asked.ask(DRY_RUN.format(scope)) == (entries, True)
        assert asked.ask("caches.preview(everything=True).entries") == 13
        assert set(asked.ask("caches.preview('shop', prefix='b-').items")) == {f"b-{number}" for number in range(5)}
    assert holding[1].ask("cache.clear(tags=['a']).entries_cleared") == 8
    assert holding[0].ask(PREVIEW.format("")) == (5, True)


def test_a_preview_walks_through_no_more_of_a_server_than_a_limit(holding):
    holding[0].do("import cenote.previewing; cenote.previewing._COUNTED_ONE_BY_ONE = 100")
    holding[0].do("cache.set_many({f'c-{number:03}': 1 for number in range(300)}, tags=['c'])")
    # What is known of the names is a limit's worth; of the tags, a share of the first hundred.
    assert holding[0].ask(PREVIEW.format("prefix='c-'")) == (100, False)
    assert holding[0].ask(PREVIEW.format("tags=['c']")) == (round(0.87 * 313), False)
    assert holding[0].ask(PREVIEW.format("prefix='a-'")) == (8, True)
    assert holding[0].ask(PREVIEW.format("")) == (313, True)
    assert "about 100 entries" in holding[0].ask("caches.preview('shop', prefix='c-').message")
