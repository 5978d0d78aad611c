"""The log of one machine: the contract, and what a file of fixed size adds to it."""

from __future__ import annotations

import pytest

from cenote import ClearFailedError, ConfigurationError
from cenote.invalidation.log import Record, RecordKind
from cenote.invalidation.machine import layout
from cenote.invalidation.machine.layout import KEY_RECORDS, PROCESSES, RECORDS, SERVICES, Word
from cenote.invalidation.machine.log import MachineLog
from cenote.testing.contracts import LogContract


class TestMachineLog(LogContract):
    """The contract."""

    @pytest.fixture(autouse=True)
    def files(self, tmp_path):
        """Give every log a file of its own."""
        tmp_path.chmod(0o700)
        self.names = (tmp_path / f"{number}.cenote" for number in range(100))

    def make_log(self):
        return MachineLog(next(self.names), settle=0)


def key(text="k", cache="books"):
    return Record(kind=RecordKind.KEY, cache=cache, covered=(text,))


def tags(*covered, cache="books", soft=False):
    return Record(kind=RecordKind.TAGS, cache=cache, covered=covered, soft=soft)


def prefix(text, cache="books"):
    return Record(kind=RecordKind.PREFIX, cache=cache, covered=(text,))


def clear(cache="books", *, soft=False):
    return Record(kind=RecordKind.CLEAR, cache=cache, soft=soft)


CLEAR_ALL = Record(kind=RecordKind.CLEAR_ALL)


class Killed(BaseException):
    """The writer dies here."""


@pytest.fixture
def cut_off(monkeypatch):
    """Run an append whose writer dies before the head moves."""

    def cut_off(log, record):
        def die(joined, sequence):
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(MachineLog, "_raise_head", staticmethod(die))
            with pytest.raises(Killed):
                log.append(record)

    return cut_off


def test_two_logs_on_one_file_are_one_log(open_log):
    one, other = open_log(), open_log()
    assert one.incarnation == other.incarnation
    assert [one.append(key("a")), other.append(clear()), one.append(CLEAR_ALL)] == [1, 2, 3]
    assert one.head == other.head == one.word[0] == other.word[0] == 3
    assert one.since(0) == other.since(0) == [key("a").at(1), clear().at(2), CLEAR_ALL.at(3)]


def test_one_log_stays_when_the_other_is_closed(open_log):
    one, other = open_log(), open_log()
    one.append(key())
    other.close()
    assert one.append(key()) == 2
    assert one.since(1) == [key().at(2)]


def test_another_namespace_of_the_directory_is_another_log(open_log, directory):
    one, other = open_log(), open_log(directory / "other.cenote")
    one.append(key())
    assert other.head == 0
    assert one.incarnation != other.incarnation


def test_news_are_what_concerns_a_cache_and_move_it_to_the_head(open_log):
    log = open_log()
    for record in (key("a", "books"), key("b", "films"), clear("films"), CLEAR_ALL, tags("t")):
        log.append(record)
    assert log.news("books", 0) == (5, [key("a").at(1), CLEAR_ALL.at(4), tags("t").at(5)])
    assert log.news("films", 1) == (5, [key("b", "films").at(2), clear("films").at(3), CLEAR_ALL.at(4)])
    assert log.news(None, 0) == (5, [CLEAR_ALL.at(4)])
    assert log.news("books", 5) == (5, [])


@pytest.mark.parametrize("make", [key, prefix], ids=["key", "prefix"])
@pytest.mark.parametrize("letter", ["x", "é", "\u2028", "\U0001f600", "\ud800"], ids=["1", "2", "3", "4", "surrogate"])
def test_a_text_that_does_not_fit_becomes_a_prefix_that_covers_it(open_log, make, letter):
    log = open_log()
    for length in range(20, 300):
        text = letter * length
        record = make(text)
        (found,) = log.since(log.append(record) - 1)
        assert text.startswith(found.covered[0])
        if found.covered != record.covered:
            assert found.kind is RecordKind.PREFIX
            assert len(found.covered[0].encode("utf-8", "surrogatepass")) > 100
    assert found.covered != record.covered, "nothing was too long"


def test_many_tags_become_several_records_that_cover_all_of_them(open_log):
    log = open_log()
    many = [f"tag-{number}-é" for number in range(200)]
    last = log.append(tags(*many))
    found = log.since(0)
    assert last == log.head == len(found) > 1
    assert {record.kind for record in found} == {RecordKind.TAGS}
    assert [tag for record in found for tag in record.covered] == many


def test_a_tag_that_does_not_fit_becomes_a_clear_as_soft_or_hard_as_it_was(open_log):
    log = open_log()
    log.append(tags("short", "x" * 400))
    log.append(tags("x" * 400, soft=True))
    assert log.since(0) == [clear().at(1), clear(soft=True).at(2)]
    assert log.floor("books", soft=False) == 1
    assert log.floor("books", soft=True) == 2


def test_who_missed_more_than_the_ring_of_clears_holds_forgets_everything(open_log):
    log = open_log()
    for number in range(RECORDS):
        log.append(prefix(f"{number}"))
    assert len(log.since(0)) == RECORDS
    assert len(log.news("books", 0).records) == RECORDS
    log.append(prefix("one more"))
    assert log.since(0) is None
    assert log.news("books", 0) == (RECORDS + 1, None)
    assert log.news("films", 0) == (RECORDS + 1, None)
    assert len(log.news("books", 2).records) == RECORDS - 1


def test_a_flood_of_keys_of_one_service_makes_no_other_forget(open_log):
    log = open_log()
    log.append(tags("t", cache="films"))
    for number in range(KEY_RECORDS + 10):
        log.append(key(f"{number}"))
    assert log.news("books", 0).records is None
    assert log.news("films", 0) == (KEY_RECORDS + 11, [tags("t", cache="films").at(1)])
    assert log.news("films", 1) == (KEY_RECORDS + 11, [])
    log.append(key("mine", "films"))
    assert log.news("films", KEY_RECORDS).records == [key("mine", "films").at(KEY_RECORDS + 12)]
    assert log.news("films", 1).records is None


def test_a_floor_outlives_the_records(open_log):
    log = open_log()
    log.append(clear())
    log.append(clear("films", soft=True))
    for number in range(RECORDS + 1):
        log.append(prefix(f"{number}"))
    assert log.since(1) is None
    assert log.floor("books", soft=False) == 1
    assert log.floor("films", soft=True) == 2
    assert log.floor("films", soft=False) == log.floor(None, soft=False) == 0
    everything = log.append(CLEAR_ALL)
    assert log.floor("books", soft=False) == log.floor(None, soft=False) == everything
    assert log.floor("never seen", soft=False) == everything


RECORDS_CUT_OFF = [
    key("phantom"),
    key("phantom " * 40),
    tags("phantom"),
    tags(*[f"phantom {number:60}" for number in range(9)]),
    prefix("phantom"),
    clear(),
    CLEAR_ALL,
]
NEXT = [key("real"), tags("real"), tags(*[f"real {number:60}" for number in range(9)]), clear("films"), CLEAR_ALL]


def name_of(record):
    return f"{record.kind.value}-{len(record.covered)}"


@pytest.mark.parametrize("following", NEXT, ids=name_of)
@pytest.mark.parametrize("phantom", RECORDS_CUT_OFF, ids=name_of)
def test_an_append_that_was_cut_off_never_counts_and_leaves_no_hole(open_log, cut_off, phantom, following):
    log, other = open_log(), open_log()
    log.append(key("before"))
    for _ in range(2):
        cut_off(log, phantom)
        assert log.head == other.head == 1
        assert other.since(0) == [key("before").at(1)]
        assert other.news("books", 1) == (1, [])
    last = other.append(following)
    log.append(key("after"))
    for reader in (log, other):
        found = reader.since(0)
        assert found is not None
        assert [record.sequence for record in found] == list(range(1, last + 2))
        assert found[0] == key("before").at(1)
        assert found[-1] == key("after").at(last + 1)
        assert [text for record in found[1:-1] for text in record.covered] == list(following.covered)
        assert {(record.kind, record.cache) for record in found[1:-1]} == {(following.kind, following.cache)}


@pytest.mark.parametrize("record", [clear(), clear(soft=True), CLEAR_ALL], ids=["hard", "soft", "everything"])
def test_the_floor_of_a_clear_that_was_cut_off_does_not_count(open_log, cut_off, record):
    log = open_log()
    log.append(clear())
    log.append(clear(soft=True))
    for _ in range(3):
        cut_off(log, record)
        assert log.floor("books", soft=False) == 1
        assert log.floor("books", soft=True) == 2
    last = log.append(record)
    assert log.floor("books", soft=record.soft) == last
    assert log.floor("books", soft=not record.soft) == (1 if record.soft else 2)


def test_a_floor_grows_with_every_clear_however_many_were_cut_off(open_log, cut_off):
    log = open_log()
    for _ in range(20):
        cut_off(log, clear())
        cut_off(log, CLEAR_ALL)
        last = log.append(clear())
        assert log.floor("books", soft=False) == last
        last = log.append(CLEAR_ALL)
        assert log.floor("books", soft=False) == log.floor(None, soft=False) == last


def test_a_service_too_many_is_refused_and_the_others_go_on(open_log):
    log = open_log()
    for number in range(1, SERVICES):
        log.append(key("k", f"service-{number}"))
    with pytest.raises(ConfigurationError, match=f"{SERVICES - 1} services at most.*'one-more'"):
        log.append(key("k", "one-more"))
    assert log.head == SERVICES - 1
    assert log.append(clear("service-511")) == SERVICES
    assert open_log().news("service-511", SERVICES - 1).records == [clear("service-511").at(SERVICES)]


def test_a_manager_says_that_a_service_too_many_is_too_many(open_log, open_manager, path):
    log = open_log()
    for number in range(1, SERVICES):
        log.append(key("k", f"service-{number}"))
    caches = open_manager()
    with pytest.raises(ConfigurationError, match="services at most"):
        caches.service("one-more")
    assert caches.service("service-7").get_or_load("k", lambda: 1) == 1
    assert caches.clear("service-7").level == "machine"


def test_a_name_of_the_greatest_length_fits(open_log):
    name = "n" * 64
    open_log().append(clear(name))
    assert open_log().news(name, 0).records == [clear(name).at(1)]


def test_a_process_too_many_is_refused_and_a_place_given_back_is_free_again(open_log):
    logs = [open_log() for _ in range(PROCESSES)]
    with pytest.raises(ConfigurationError, match=f"{PROCESSES} processes"):
        open_log()
    assert logs[0].append(key()) == 1
    logs[50].close()
    assert open_log().head == 1


def test_the_layout_has_no_overlap_and_every_word_is_aligned():
    assert layout.HEAD.size + 4 <= 512 <= 8 * min(Word)
    assert 8 * max(Word) + 8 <= layout.SERVICES_AT
    assert layout.FILE_BYTES == 27_073_536
    for name, value in vars(layout).items():
        if name.endswith(("_AT", "_EACH")):
            assert value % 8 == 0, name


def test_a_record_that_was_damaged_makes_its_readers_forget_everything(open_log):
    log = open_log()
    for number in range(3):
        log.append(prefix(f"{number}"))
    at = layout.RECORDS_AT + 32
    log.membership.file.bytes[at] ^= 4
    assert log.since(0) is None
    assert log.news("books", 0).records is None
    assert log.since(2) == [prefix("2").at(3)]


def test_a_floor_that_was_damaged_is_never_taken_for_lower(open_log):
    log = open_log()
    log.append(clear())
    at = layout.SERVICES_AT + layout.SERVICES_EACH + 8 * layout.ServiceWord.FLOORS
    words = [at, at + 8]
    for where in words:
        log.membership.file.bytes[where] ^= 1
    with pytest.raises(ClearFailedError, match="damaged"):
        log.floor("books", soft=False)
    assert not log.in_place
